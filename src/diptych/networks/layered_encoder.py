"""Encoders that are a chain of named layers: what VGG and EfficientNet share."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diptych.errors import UserError
from diptych.networks.encoder import Encoder, Reduce

Rescale = bool | Literal["auto"]
Outline = list[tuple[int, int] | None]
"""Convolutions one after another, by their channels in and out; None where the resolution is halved."""


class LayeredEncoder(Encoder):
    """Layers by name, each of which takes what the one before it gives.

    `levels`, one at each of five resolutions, the finest first, are where networks exchange statistics. With
    `recompute` what is between two halvings of the resolution is computed again in the backward instead of kept.
    """

    kind: str
    levels: tuple[str, ...]
    layers: nn.ModuleList

    @abstractmethod
    def normalise(self, images: Tensor) -> Tensor:
        """Return images as the weights were trained with."""

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Return the words by which networks that carry such an encoder say which it is."""

    @abstractmethod
    def _outline_layer(self, layer: nn.Module) -> Outline: ...

    @abstractmethod
    def _load(self, state: Mapping[str, Tensor], origin: str) -> None:
        """Take over a file's weights; `DataError` where they are not of this network."""

    @abstractmethod
    def _rescale(self, seed: int) -> None:
        """Let features be about one on images of noise."""

    def forward(self, images: Tensor, layers: Sequence[str], reduce: Reduce | None = None) -> dict[str, Tensor]:
        x, found = self.normalise(images), dict[str, Tensor]()
        for block in self._split(max(map(self.find, layers))):
            names = [name for name in self.names[block] if name in layers]
            run = partial(self._run, block, layers, reduce)
            again = self.recompute and torch.is_grad_enabled()
            x, *features = checkpoint(run, x, use_reentrant=False) if again else run(x)
            found |= zip(names, features, strict=True)
        return found

    def outline(self, last: str) -> Outline:
        """Return the convolutions and halvings up to a layer."""
        return [step for layer in self.layers[: self.find(last) + 1] for step in self._outline_layer(layer)]

    def count_channels(self, name: str) -> int:
        """Return the channels of a layer's features."""
        return [step[1] for step in self.outline(name) if step][-1]

    def count_pixels(self, name: str) -> int:
        """Return how many pixels of the image, along a side, become one position of a layer."""
        return 1 << self.outline(name).count(None)

    def copy_weights(self, other: Self) -> None:
        """Take over the weights of another of the same kind, which may have more layers."""
        held = self.state_dict().keys()
        self.load_state_dict({name: tensor for name, tensor in other.state_dict().items() if name in held})

    def _scale(self, layer: nn.Module, features: Tensor) -> Tensor:
        """Return what is shown of a layer's features."""
        return features

    def _split(self, last: int) -> list[slice]:
        """Return the layers up to the last one asked for, from halving to halving."""
        halvings = [index for index in range(1, last) if None in self._outline_layer(self.layers[index])]
        return [slice(*ends) for ends in pairwise([0, *halvings, last + 1])]

    def _run(self, block: slice, layers: Sequence[str], reduce: Reduce | None, x: Tensor) -> list[Tensor]:
        """Return a block's output, and the features asked for inside it."""
        found = []
        for name, layer in zip(self.names[block], self.layers[block], strict=True):
            x = layer(x)
            if name in layers:
                shown = self._scale(layer, x)
                found.append(reduce(name, shown) if reduce else shown)
        return [x, *found]

    def _fill(self, state: Mapping[str, Tensor] | None, weights: str, rescale: Rescale, seed: int) -> None:
        """Load weights, or draw them unless this is an outline, which has no numbers; nothing learns them further."""
        if state is not None:
            self._load(state, weights)
        elif not next(self.parameters()).is_meta:
            self._draw(seed)
        if rescale is True or (rescale == "auto" and weights in ("own", "random")):
            self._rescale(seed)
        self.requires_grad_(False).eval()

    def _draw(self, seed: int) -> None:
        """He et al. 2015, equation 10."""
        random = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                deviation = (2 / layer.weight[0].numel()) ** 0.5
                layer.weight.data = torch.randn(layer.weight.shape, generator=random) * deviation
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def _cut(self, last: str | None) -> None:
        """Leave out the layers behind this one."""
        if last is not None:
            self.layers = self.layers[: self.find(last) + 1]
            self.names = self.names[: len(self.layers)]


def require_choices(choices: Mapping[str, tuple[object, Sequence[object]]]) -> None:
    """Raise `UserError` for the first setting of an encoder that is none of those it may be."""
    for name, (value, known) in choices.items():
        if value not in known:
            raise UserError(f"encoder {name} {value!r} is not one of {', '.join(map(str, known))}")
