"""What losses look with: frozen networks that give an image's features by the names of their layers."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from diptych.errors import UserError
from diptych.networks.features import FeatureNetwork

Reduce = Callable[[str, Tensor], Tensor]


class Encoder(nn.Module):
    """Takes N×3×H×W images in [-1, 1]; `content_layer` and `style_layers` are looked at where nobody says which."""

    names: list[str]
    content_layer: str
    style_layers: tuple[str, ...]
    recompute = False
    """Whether activations are computed again in the backward instead of kept, where the network can."""

    @abstractmethod
    def forward(self, images: Tensor, layers: Sequence[str], reduce: Reduce | None = None) -> dict[str, Tensor]:
        """Return the named features, N×C×h×w, or what `reduce` makes of each; nothing behind the last is computed."""

    def move_to(self, images: Tensor) -> None:
        """Move to where images are, in their type; on a CPU with channels last, in which convolutions are quicker."""
        layout = torch.channels_last if images.device.type == "cpu" else torch.contiguous_format
        weight = next(self.parameters())
        moved = (weight.device, weight.dtype) == (images.device, images.dtype)
        if moved and weight.is_contiguous(memory_format=layout):
            return
        self.to(device=images.device, dtype=images.dtype, memory_format=layout)  # type: ignore[call-overload]

    def find(self, name: str) -> int:
        """Return a layer's number; `UserError` where there is none of this name."""
        if name not in self.names:
            raise UserError(f"{type(self).__name__} has no layer {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)


class NetworkEncoder(Encoder):
    """A trained network's layers, `layer0`, `layer1`, …, each divided by its mean magnitude on images of noise."""

    magnitudes: Tensor

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        if network.arguments["in_channels"] != 3:
            raise UserError(f"an encoder looks at RGB; this one takes {network.arguments['in_channels']} channels")
        self.network = network.requires_grad_(False).eval()
        self.names = [f"layer{number}" for number in range(network.depth)]
        self.style_layers = tuple(self.names[number] for number in network.default_layers)
        self.content_layer = self.style_layers[-1]
        with torch.no_grad():
            found = network.features(make_noise(0).clamp(-2, 2) / 2, range(network.depth))
        self.register_buffer("magnitudes", torch.stack([feature.abs().mean().clamp_min(1e-8) for feature in found]))

    def forward(self, images: Tensor, layers: Sequence[str], reduce: Reduce | None = None) -> dict[str, Tensor]:
        numbers = sorted({self.find(name) for name in layers})
        features = zip(numbers, self.network.features(images, numbers), strict=True)
        found = {self.names[number]: feature / self.magnitudes[number] for number, feature in features}
        return {name: reduce(name, feature) for name, feature in found.items()} if reduce else found


def make_noise(seed: int) -> Tensor:
    """Return two images whose every octave varies alike, of deviation one: 2×3×64×64."""
    random = torch.Generator().manual_seed(seed)
    octaves = [
        interpolate(torch.randn(2, 3, side, side, generator=random), size=(64, 64), mode="bilinear")
        for side in (2, 4, 8, 16, 32, 64)
    ]
    total = torch.stack(octaves).sum(0)
    return total / total.std()
