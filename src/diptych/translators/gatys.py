"""Image Style Transfer Using Convolutional Neural Networks.

Leon A. Gatys, Alexander S. Ecker, Matthias Bethge. CVPR 2016.
https://openaccess.thecvf.com/content_cvpr_2016/papers/Gatys_Image_Style_Transfer_CVPR_2016_paper.pdf
With several scales and spatial control from "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diptych.errors import DataError, UserError
from diptych.losses import StyleReference, StyleTransferLoss
from diptych.translators.pixels import Optimizer, PixelState, descend
from diptych.translators.style import Style
from diptych.translators.translator import Progress, Translator

Start = Literal["content", "style", "noise"]
_LEAST = 32  # pixels a side that five poolings leave something of


@dataclass(frozen=True)
class GatysTranslator(Translator):
    """The image with the content of one and the statistics of others, found by descent on its pixels.

    `scales` are sides relative to the last: each begins with the result of the one before, enlarged, and its share of
    the `steps` is larger the smaller it is.
    """

    loss: StyleTransferLoss
    weights: Mapping[str, float] = field(default_factory=lambda: {"content": 1, "style": 1, "total_variation": 0})
    optimizer: Optimizer = "lbfgs"
    steps: int = 300
    start: Start = "content"
    scales: Sequence[float] = (1.0,)
    notes: Mapping[str, Any] = field(default_factory=lambda: {"from": "content", "to": "style"})

    style_sources = ("image",)
    takes_seed = takes_steps = True
    takes_batches = False

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

    def _iterate(
        self, content: Tensor, styles: tuple[Style, ...], seed: int, steps: int | None, strength: float
    ) -> Iterator[Progress]:
        references = [_to_reference(style).to(content) for style in styles]
        if not references:
            raise UserError("there is no style; give at least one image")
        _require_size("content", content)
        for number, reference in enumerate(references, 1):
            _require_size(f"style {number}", reference.image)
        image, state, done = None, PixelState(), 0
        shares = _share(steps or self.steps, self.scales)
        for scale, count in zip(self.scales, shares, strict=True):
            small, scaled = _resize(content, scale), [reference.resize(scale) for reference in references]
            objective = self.weigh(small, scaled)
            begin = self._begin(small, scaled, seed) if image is None else _fit(image, small)
            for loss, image in descend(objective, begin, self.optimizer, count, state):
                done += 1
                yield Progress(done, sum(shares), image, loss)

    def weigh(self, content: Tensor, references: Sequence[StyleReference]) -> Callable[[Tensor], Tensor]:
        """Return the weighted sum of the terms, as a function of the image."""
        targets = self.loss.describe(content, references)
        return lambda image: torch.stack(
            [self.weights[name] * term for name, term in self.loss(image, targets).items()]
        ).sum()

    def _begin(self, content: Tensor, references: Sequence[StyleReference], seed: int) -> Tensor:
        if self.start == "noise":
            random = torch.Generator().manual_seed(seed)
            return (torch.randn(content.shape, generator=random) * 0.25).clamp(-1, 1).to(content)
        return _fit(references[0].image, content) if self.start == "style" else content.clone()


class _Reference(StyleReference):
    """A style's image and mask, which follow the content from scale to scale."""

    def to(self, like: Tensor) -> "_Reference":
        mask = None if self.mask is None else self.mask.to(like)
        return replace(self, image=self.image.to(like), mask=mask)

    def resize(self, scale: float) -> "_Reference":
        mask = None if self.mask is None else _resize(self.mask, scale).clamp(0, 1)
        return replace(self, image=_resize(self.image, scale), mask=mask)


def _to_reference(style: Style) -> _Reference:
    if style.image is None:
        raise UserError("Gatys et al. take styles from images alone, not by number, name or code")
    return _Reference(style.image, style.weight, style.mask)


def _require_size(name: str, image: Tensor) -> None:
    if min(image.shape[-2:]) < _LEAST:
        size = "×".join(map(str, image.shape[-2:]))
        raise DataError(f"the {name} is {size}; an encoder's poolings need {_LEAST} pixels a side")


def _share(steps: int, scales: Sequence[float]) -> list[int]:
    """Share steps among scales, small ones first, each at least one and more the smaller the scale is."""
    total = sum(1 / scale for scale in scales)
    return [max(1, round(steps / scale / total)) for scale in scales]


def _resize(image: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return image
    return _bring(image, [max(_LEAST, round(side * scale)) for side in image.shape[-2:]])


def _fit(image: Tensor, content: Tensor) -> Tensor:
    """Bring an image to the content's size."""
    return _bring(image, content.shape[-2:])


def _bring(image: Tensor, size: Sequence[int]) -> Tensor:
    return interpolate(image, size=list(size), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
