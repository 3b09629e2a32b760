"""Image Style Transfer Using Convolutional Neural Networks.

Leon A. Gatys, Alexander S. Ecker, Matthias Bethge. CVPR 2016.
https://openaccess.thecvf.com/content_cvpr_2016/papers/Gatys_Image_Style_Transfer_CVPR_2016_paper.pdf
With several scales and spatial control from "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from diptych.errors import UserError
from diptych.losses import Content, Perceptual, TotalVariation
from diptych.losses.perceptual import count_positions
from diptych.methods.pixels import Optimizer, PixelState, descend
from diptych.methods.player import Terms

Start = Literal["content", "style", "noise"]
_LEAST = 32  # pixels a side that five poolings leave something of


@dataclass(frozen=True)
class Style:
    """An image that lends its style, 1×3×h×w in [-1, 1]: with what weight, and where (1×1×H×W in [0, 1])."""

    image: Tensor
    weight: float = 1.0
    mask: Tensor | None = None


class Progress(NamedTuple):
    """Where the optimisation stands: `step` of `steps` in all, at one of the scales."""

    step: int
    steps: int
    loss: float
    image: Tensor


@dataclass(frozen=True)
class Gatys:
    """The image with the content of one and the statistics of others, found by descent on its pixels.

    `content` and `style` look with one encoder. `scales` are sides relative to the last: each begins with the result
    of the one before, enlarged, and its share of the `steps` is larger the smaller it is.
    """

    content: Content
    style: Perceptual
    smoothness: TotalVariation = field(default_factory=TotalVariation)
    weights: Mapping[str, float] = field(default_factory=lambda: {"content": 1, "style": 1, "total_variation": 0})
    optimizer: Optimizer = "lbfgs"
    steps: int = 300
    start: Start = "content"
    scales: Sequence[float] = (1.0,)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.start not in get_args(Start):
            raise UserError(f"start = {self.start} must be one of {', '.join(get_args(Start))}")
        if self.steps < 1:
            raise UserError(f"steps = {self.steps} must be at least 1")
        if not self.scales or min(self.scales) <= 0 or max(self.scales) > 1 or self.scales[-1] != 1:
            raise UserError(f"scales = {list(self.scales)} must lie between 0 and 1 and end with 1")
        known = {"content", "style", "total_variation"}
        if unknown := self.weights.keys() ^ known:
            raise UserError(
                f"weights of {', '.join(sorted(unknown))}: there must be those of {', '.join(sorted(known))}"
            )

    def run(self, content: Tensor, styles: Sequence[Style]) -> Iterator[Progress]:
        """Yield after every step on 1×3×H×W content in [-1, 1]; the last image is the result."""
        check_styles(content, styles)
        image, state, done = None, PixelState(), 0
        shares = _share(self.steps, self.scales)
        for scale, steps in zip(self.scales, shares, strict=True):
            small, lent = _resize(content, scale), [_scale_style(style, scale) for style in styles]
            objective = Objective(self, small, lent)
            image = self._begin(small, lent) if image is None else _fit(image, small)
            for loss, image in descend(objective.total, image, self.optimizer, steps, state):  # noqa: B020
                done += 1
                yield Progress(done, sum(shares), loss, image)

    def _begin(self, content: Tensor, styles: Sequence[Style]) -> Tensor:
        if self.start == "noise":
            random = torch.Generator().manual_seed(self.seed)
            return (torch.randn(content.shape, generator=random) * 0.25).clamp(-1, 1).to(content)
        return _fit(styles[0].image, content) if self.start == "style" else content.clone()


class Objective:
    """What an image should be like: the targets are described once, then compared with again and again."""

    def __init__(self, settings: Gatys, content: Tensor, styles: Sequence[Style]) -> None:
        self.settings, self.encoder = settings, settings.content.encoder
        self.encoder.to(device=content.device, dtype=content.dtype)
        total = sum(style.weight for style in styles)
        self.shares = [style.weight / total for style in styles]
        self.masks = [style.mask for style in styles]
        self.layers = tuple(dict.fromkeys([*settings.content.layers, *settings.style.layers]))
        self.positions = count_positions(content)
        with torch.no_grad():
            self.wanted = _describe(settings.content, content)
            self.lent = [_describe(settings.style, style.image) for style in styles]

    def __call__(self, image: Tensor) -> Terms:
        """Return the unweighted terms of a 1×3×H×W image: content, style, total_variation."""
        layers = self.encoder(image, self.layers, self._judge)
        content, style = torch.stack(list(layers.values())).sum(0)
        return {"content": content, "style": style, "total_variation": self.settings.smoothness(image)}

    def total(self, image: Tensor) -> Tensor:
        """Return the weighted sum of the terms."""
        weights, terms = self.settings.weights, self(image)
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum()

    def _judge(self, name: str, features: Tensor) -> Tensor:
        """Return what a layer adds to content and style."""
        content, style = self.settings.content, self.settings.style
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


def _share(steps: int, scales: Sequence[float]) -> list[int]:
    """Share steps among scales, small ones first, each at least one and more the smaller the scale is."""
    total = sum(1 / scale for scale in scales)
    return [max(1, round(steps / scale / total)) for scale in scales]


def _resize(image: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return image
    size = [max(_LEAST, round(side * scale)) for side in image.shape[-2:]]
    return interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def _scale_style(style: Style, scale: float) -> Style:
    mask = None if style.mask is None else _resize(style.mask, scale).clamp(0, 1)
    return replace(style, image=_resize(style.image, scale), mask=mask)


def _fit(image: Tensor, content: Tensor) -> Tensor:
    """Bring an image to the content's size."""
    size = content.shape[-2:]
    return interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
