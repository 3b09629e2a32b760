"""What a stylised image should be like, for those who optimise pixels and for those who train networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from diptych.errors import UserError
from diptych.losses import Content, Perceptual, TotalVariation
from diptych.losses.perceptual import count_positions
from diptych.methods.player import Terms


@dataclass(frozen=True)
class Style:
    """An image that lends its style, 1×3×h×w in [-1, 1]: with what weight, and where (1×1×H×W in [0, 1])."""

    image: Tensor
    weight: float = 1.0
    mask: Tensor | None = None


@dataclass(frozen=True)
class Look:
    """The losses that judge an image; content and style look with one encoder."""

    content: Content
    style: Perceptual
    smoothness: TotalVariation

    def __post_init__(self) -> None:
        if self.content.encoder is not self.style.encoder:
            raise UserError("content and style must look with one encoder")


class Objective:
    """What an image should be like: the targets are described once, then compared with again and again."""

    def __init__(self, losses: Look, content: Tensor, styles: Sequence[Style]) -> None:
        self.losses, self.encoder = losses, losses.content.encoder
        self.encoder.suit(content)
        total = sum(style.weight for style in styles)
        self.shares = [style.weight / total for style in styles]
        self.masks = [style.mask for style in styles]
        self.layers = tuple(dict.fromkeys([*losses.content.layers, *losses.style.layers]))
        self.positions = count_positions(content)
        with torch.no_grad():
            self.wanted = _describe(losses.content, content)
            self.lent = [_describe(losses.style, style.image) for style in styles]

    def __call__(self, image: Tensor) -> Terms:
        """Return the unweighted terms of N×3×H×W images: content, style, total_variation."""
        layers = self.encoder(image, self.layers, self._judge)
        content, style = torch.stack(list(layers.values())).sum(0)
        return {"content": content, "style": style, "total_variation": self.losses.smoothness(image)}

    def _judge(self, name: str, features: Tensor) -> Tensor:
        """Return what a layer adds to content and style."""
        content, style = self.losses.content, self.losses.style
        away = unlike = features.new_zeros(())
        if name in content.layers:
            own = content.describe(features, self.positions)
            away = content.layers[name] * content.measure(own, self.wanted[name])
        if name in style.layers:
            looks: dict[int, Tensor] = {}  # styles without a mask share one look
            for share, mask, lent in zip(self.shares, self.masks, self.lent, strict=True):
                if id(mask) not in looks:
                    looks[id(mask)] = style.describe(features, self.positions, make_guide(mask, features))
                unlike = unlike + share * style.layers[name] * style.measure(looks[id(mask)], lent[name])
        return torch.stack([away, unlike])


def make_guide(mask: Tensor | None, features: Tensor) -> Tensor | None:
    """Return the mask at the features' size, of mean one over the positions; None where there is no mask."""
    if mask is None:
        return None
    height, width = features.shape[-2:]
    small = adaptive_avg_pool2d(mask.to(features), (height, width))
    return small / small.mean()


def check_styles(content: Tensor, styles: Sequence[Style]) -> None:
    """Raise `UserError` unless the weights and masks make sense for the content."""
    if not styles:
        raise UserError("there is no style; give at least one")
    for number, style in enumerate(styles, 1):
        if not style.weight > 0:
            raise UserError(f"style {number} has weight {style.weight:g}; it must be above 0")
        if style.mask is not None and style.mask.shape[-2:] != content.shape[-2:]:
            sizes = ["×".join(map(str, x.shape[-2:])) for x in (style.mask, content)]
            raise UserError(f"the mask of style {number} is {sizes[0]}, the content {sizes[1]}")
        if style.mask is not None and not style.mask.max() > 0:
            raise UserError(f"the mask of style {number} is empty: black everywhere")


def _describe(loss: Perceptual, image: Tensor) -> dict[str, Tensor]:
    positions = count_positions(image)
    return loss.encoder(image, tuple(loss.layers), lambda _, features: loss.describe(features, positions))
