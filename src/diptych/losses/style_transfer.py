"""Content, style and smoothness of one image at once, for those who optimise pixels and for those who train networks.

Perceptual Losses for Real-Time Style Transfer and Super-Resolution, equation 5. Justin Johnson, Alexandre Alahi, Li
Fei-Fei. ECCV 2016. https://arxiv.org/abs/1603.08155
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from diptych.errors import UserError
from diptych.losses.images import TotalVariation
from diptych.losses.perceptual import Content, Perceptual, count_positions
from diptych.losses.precision import in_float32


@dataclass(frozen=True)
class StyleReference:
    """An image whose style is wanted, N×3×h×w in [-1, 1]: with what weight, and where (1×1×H×W in [0, 1]).

    `described` is what a loss has kept of it, or of the whole image of which this is a part, and is taken instead.
    """

    image: Tensor
    weight: float = 1.0
    mask: Tensor | None = None
    described: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class Targets:
    """What an image is compared with, described once: features of the content, statistics of each style."""

    content_targets: dict[str, Tensor]
    style_targets: list[dict[str, Tensor]]
    shares: list[float]
    masks: list[Tensor | None]
    positions: int


@dataclass(frozen=True)
class StyleTransferLoss:
    """The sum's three terms, unweighted; both perceptual ones look with one encoder, in one call."""

    content: Content
    style: Perceptual
    total_variation: TotalVariation

    def __post_init__(self) -> None:
        if self.content.encoder is not self.style.encoder:
            raise UserError("content and style must look with one encoder")

    @torch.no_grad()
    @in_float32
    def describe(self, content: Tensor, styles: Sequence[StyleReference]) -> Targets:
        """Return the targets of N×3×H×W content in several styles, whose weights are made to add up to one."""
        self.content.encoder.move_to(content)
        total = sum(style.weight for style in styles)
        return Targets(
            content_targets=_describe(self.content, content),
            style_targets=[style.described or self.describe_style(style.image) for style in styles],
            shares=[style.weight / total for style in styles],
            masks=[style.mask for style in styles],
            positions=count_positions(content),
        )

    @torch.no_grad()
    @in_float32
    def describe_style(self, image: Tensor) -> dict[str, Tensor]:
        """Return what is compared of an N×3×h×w style image, layer by layer."""
        self.style.encoder.move_to(image)
        return _describe(self.style, image)

    @in_float32
    def __call__(self, image: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Return the terms of N×3×H×W images: content, style, total_variation."""

        def compare(name: str, features: Tensor) -> Tensor:
            return torch.stack(
                [self._compare_content(name, features, targets), self._compare_style(name, features, targets)]
            )

        layers = tuple(dict.fromkeys([*self.content.layers, *self.style.layers]))
        compared = self.content.encoder(image, layers, compare)
        content, style = torch.stack(list(compared.values())).sum(0)
        return {"content": content, "style": style, "total_variation": self.total_variation(image)}

    def _compare_content(self, name: str, features: Tensor, targets: Targets) -> Tensor:
        """Return what a layer adds to the content term."""
        if name not in self.content.layers:
            return features.new_zeros(())
        own = self.content.describe(features, targets.positions)
        return self.content.layers[name] * self.content.measure(own, targets.content_targets[name])

    def _compare_style(self, name: str, features: Tensor, targets: Targets) -> Tensor:
        """Return what a layer adds to the style term."""
        total = features.new_zeros(())
        if name not in self.style.layers:
            return total
        described: dict[int, Tensor] = {}  # styles without a mask share one description
        for share, mask, target in zip(targets.shares, targets.masks, targets.style_targets, strict=True):
            if id(mask) not in described:
                described[id(mask)] = self.style.describe(features, targets.positions, make_guide(mask, features))
            total = total + share * self.style.layers[name] * self.style.measure(described[id(mask)], target[name])
        return total


def make_guide(mask: Tensor | None, features: Tensor) -> Tensor | None:
    """Return the mask at the features' size, of mean one over the positions; None where there is no mask."""
    if mask is None:
        return None
    height, width = features.shape[-2:]
    small = adaptive_avg_pool2d(mask.to(features), (height, width))
    return small / small.mean()


def _describe(loss: Perceptual, image: Tensor) -> dict[str, Tensor]:
    positions = count_positions(image)
    return loss.encoder(image, tuple(loss.layers), lambda _, features: loss.describe(features, positions))
