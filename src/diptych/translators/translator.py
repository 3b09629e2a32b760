"""The contract of everything that makes an image from an image."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from diptych.errors import UserError
from diptych.images import PICTURE, Form, ImageLike, to_batch
from diptych.networks.style_network import StyleSource
from diptych.translators.style import Style, StyleLike, check_masks, to_styles

ContentLike = Tensor | ImageLike | Sequence[ImageLike]


class Progress(NamedTuple):
    """Where a translation stands after one of its steps: the images so far and, where one is minimised, the loss."""

    step: int
    steps: int
    image: Tensor
    loss: float | None = None


class Translator(ABC):
    """Maps N×C×H×W images in [-1, 1] to N×C'×H×W images in [-1, 1], of any height and width.

    Instead of such a tensor a path, an image of Pillow's, or a list of these, all of one size, may be given: they are
    read in the form that the files of the translator's `input` have.
    `style`, `seed` and `steps` may be given where `takes_style`, `takes_seed` and `takes_steps` say so; whoever gives
    another hears so in one line. The same arguments give the same images.
    """

    style_sources: tuple[StyleSource, ...] = ()
    """What a style may be said by: an image, a number, a name."""
    takes_seed = False
    takes_steps = False
    takes_batches = True
    """Whether N images take less time together than one by one."""
    controls_strength = False
    """Whether less than the full effect is made better here than by mixing images."""
    notes: Mapping[str, Any]

    def __call__(
        self, content: ContentLike, style: StyleLike | None = None, *, seed: int | None = None, steps: int | None = None
    ) -> Tensor:
        """Return the translated images."""
        content = content if isinstance(content, Tensor) else to_batch(content, self.input)
        if not self.takes_batches and len(content) > 1:
            return torch.cat([self(one, style, seed=seed, steps=steps) for one in content.split(1)])
        *_, last = self.iterate(content, style, seed=seed, steps=steps)
        return last.image

    def iterate(
        self,
        content: ContentLike,
        style: StyleLike | None = None,
        *,
        seed: int | None = None,
        steps: int | None = None,
        strength: float = 1.0,
    ) -> Iterator[Progress]:
        """Yield after each step; the last images are the result. `strength` below 1 needs `controls_strength`."""
        content = content if isinstance(content, Tensor) else to_batch(content, self.input)
        channels = self.input.channels
        if content.ndim != 4 or content.shape[1] != channels:
            raise ValueError(f"expected N×{channels}×H×W images, got a tensor of shape {tuple(content.shape)}")
        self.require(style=style is not None, seed=seed is not None, steps=steps is not None)
        if steps is not None and steps < 1:
            raise UserError(f"steps = {steps} must be at least 1")
        styles = () if style is None else to_styles(style)
        check_masks(content, styles)
        for progress in self._iterate(content, styles, seed or 0, steps, strength):
            yield progress._replace(image=progress.image.clamp(-1, 1).to(content.dtype))

    @abstractmethod
    def _iterate(
        self, content: Tensor, styles: tuple[Style, ...], seed: int, steps: int | None, strength: float
    ) -> Iterator[Progress]:
        """Yield after each step, at least once."""

    def encode(self, style: StyleLike) -> tuple[Style, ...]:
        """Return the styles in the form that is quickest to use again, for many contents."""
        self.require(style=True)
        return to_styles(style)

    def to(self, device: torch.device) -> Self:
        """Compute on a device from now on; a translator without weights computes where its images are."""
        return self

    @property
    def takes_style(self) -> bool:
        """Whether a style can be asked for."""
        return bool(self.style_sources)

    def list_taken(self) -> list[str]:
        """Say what may be given beside the content: `style by image or number`, `seed`, `steps`."""
        style = [f"style by {' or '.join(self.style_sources)}"] if self.takes_style else []
        return [*style, *(name for name in ("seed", "steps") if getattr(self, f"takes_{name}"))]

    def require(self, **asked: bool) -> None:
        """Raise `UserError` for the first of style, seed and steps that is asked for and not taken."""
        for name, needed in asked.items():
            if needed and not getattr(self, f"takes_{name}"):
                taken = ", ".join(self.list_taken()) or "nothing beside the image"
                raise UserError(f"{self.title}: this translator takes no {name}; it takes {taken}")

    @property
    def title(self) -> str:
        """What is turned into what, in the recipe's words: `flat → fluent`."""
        return f"{self.notes.get('from', 'A')} → {self.notes.get('to', 'B')}"

    @property
    def input(self) -> Form:
        """What the files hold that it translates."""
        return PICTURE

    @property
    def output(self) -> Form:
        """What the files hold that it makes."""
        return PICTURE
