"""Image Style Transfer Using Convolutional Neural Networks.

Leon A. Gatys, Alexander S. Ecker, Matthias Bethge. CVPR 2016.
https://openaccess.thecvf.com/content_cvpr_2016/papers/Gatys_Image_Style_Transfer_CVPR_2016_paper.pdf
With several scales and spatial control from "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diptych.errors import UserError
from diptych.methods.objective import Look, Objective, Style, check_styles
from diptych.methods.pixels import Optimizer, PixelState, descend

Start = Literal["content", "style", "noise"]
_LEAST = 32  # pixels a side that five poolings leave something of


class Progress(NamedTuple):
    """Where the optimisation stands: `step` of `steps` in all, at one of the scales."""

    step: int
    steps: int
    loss: float
    image: Tensor


@dataclass(frozen=True)
class Gatys:
    """The image with the content of one and the statistics of others, found by descent on its pixels.

    `scales` are sides relative to the last: each begins with the result of the one before, enlarged, and its share of
    the `steps` is larger the smaller it is.
    """

    look: Look
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
        for name, picture in (
            ("content", content),
            *((f"style {n}", style.image) for n, style in enumerate(styles, 1)),
        ):
            if min(picture.shape[-2:]) < _LEAST:
                size = "×".join(map(str, picture.shape[-2:]))
                raise UserError(f"the {name} is {size}; an encoder's poolings need {_LEAST} pixels a side")
        image, state, done = None, PixelState(), 0
        shares = _share(self.steps, self.scales)
        for scale, steps in zip(self.scales, shares, strict=True):
            small, lent = _resize(content, scale), [_scale_style(style, scale) for style in styles]
            objective = self.weigh(Objective(self.look, small, lent))
            image = self._begin(small, lent) if image is None else _fit(image, small)
            for loss, image in descend(objective, image, self.optimizer, steps, state):  # noqa: B020
                done += 1
                yield Progress(done, sum(shares), loss, image)

    def weigh(self, objective: Objective) -> Callable[[Tensor], Tensor]:
        """Return the weighted sum of an objective's terms, as a function of the image."""
        return lambda image: torch.stack([self.weights[name] * term for name, term in objective(image).items()]).sum()

    def _begin(self, content: Tensor, styles: Sequence[Style]) -> Tensor:
        if self.start == "noise":
            random = torch.Generator().manual_seed(self.seed)
            return (torch.randn(content.shape, generator=random) * 0.25).clamp(-1, 1).to(content)
        return _fit(styles[0].image, content) if self.start == "style" else content.clone()


def _share(steps: int, scales: Sequence[float]) -> list[int]:
    """Share steps among scales, small ones first, each at least one and more the smaller the scale is."""
    total = sum(1 / scale for scale in scales)
    return [max(1, round(steps / scale / total)) for scale in scales]


def _resize(image: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return image
    return _bring(image, [max(_LEAST, round(side * scale)) for side in image.shape[-2:]])


def _scale_style(style: Style, scale: float) -> Style:
    mask = None if style.mask is None else _resize(style.mask, scale).clamp(0, 1)
    return replace(style, image=_resize(style.image, scale), mask=mask)


def _fit(image: Tensor, content: Tensor) -> Tensor:
    """Bring an image to the content's size."""
    return _bring(image, content.shape[-2:])


def _bring(image: Tensor, size: Sequence[int]) -> Tensor:
    return interpolate(image, size=list(size), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
