"""Styles as they are asked for: files read once, and what a translator makes of them used for many contents."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from diptych.errors import UserError
from diptych.images import Picture, load_image, normalise
from diptych.images.form import MAX_PIXELS
from diptych.inference.colours import transfer_colours
from diptych.inference.masks import load_mask, to_share
from diptych.networks.style_network import StyleSource
from diptych.translators import Style, Translator

_KEPT = 32  # encoded styles: of as many files at as many sizes


@dataclass(frozen=True)
class StyleRequest:
    """A style as it is asked for: an image's file, a place on a scale or a name; its weight; the file of a mask."""

    value: Path | float | str
    weight: float = 1.0
    mask: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise UserError(f"--style {self.value}: its weight {self.weight:g} must be a number above 0")

    @classmethod
    def parse(cls, text: str, sources: Sequence[StyleSource] = ("image",)) -> "StyleRequest":
        """Read what one of the sources is named by, perhaps with `:WEIGHT` behind it.

        A file that is there is taken for an image, also where its name reads like a number or ends like a weight.
        """
        name, colon, number = text.rpartition(":")
        if colon and not ("image" in sources and Path(text).exists()):
            with suppress(ValueError):
                return cls(_interpret(name, sources), float(number))
        return cls(_interpret(text, sources))


def _interpret(text: str, sources: Sequence[StyleSource]) -> Path | float | str:
    """Return the file, the number or the name that a text says, whichever is taken."""
    if "image" in sources and Path(text).exists():
        return Path(text)
    if "number" in sources:
        with suppress(ValueError):
            return float(text)
    if "name" in sources:
        return text
    if "image" in sources:
        return Path(text)
    raise UserError(f"--style {text}: this translator takes a style by {' or '.join(sources) or 'nothing'}")


class Styles:
    """Styles that are read once; a translator's codes of them serve all contents of a size.

    A style image's shorter side is `scale` times the content's. With `transfer` it gets the content's colours.
    """

    def __init__(
        self,
        translator: Translator,
        requests: Sequence[StyleRequest],
        scale: float = 1.0,
        transfer: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not scale > 0:
            raise UserError(f"--style-scale {scale:g}: must be above 0")
        self._translator, self._requests, self._scale, self._transfer = translator, requests, scale, transfer
        form = replace(translator.output, max_pixels=max_pixels)
        self.pictures = [load_image(one.value, form) if isinstance(one.value, Path) else None for one in requests]
        self._masks = [load_mask(one.mask, max_pixels) if one.mask else None for one in requests]
        for one, shape in zip(requests, self._masks, strict=True):
            if shape and not to_share(shape).max() > 0:
                raise UserError(f"--style-mask {one.mask}: it is empty, black everywhere")
        self._encoded: dict[tuple[Path | float | str, int], Style] = {}
        for one in requests:
            if not isinstance(one.value, Path):  # there is nothing to wait for to know whether the translator takes it
                self._encode(one.value, None, 0)

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def holds_images(self) -> bool:
        """Whether one of them is an image."""
        return any(self.pictures)

    @property
    def differs_by_content(self) -> bool:
        """Whether contents of one size are translated to different styles."""
        return self._transfer and self.holds_images

    @property
    def files(self) -> list[Path]:
        """The files that were read."""
        images = [one.value for one in self._requests if isinstance(one.value, Path)]
        return images + [one.mask for one in self._requests if one.mask]

    def prepare(self, content: Tensor) -> tuple[Style, ...]:
        """Return the styles for N×C×H×W content of one size, where they differ by content for one image."""
        return tuple(self._prepare(number, content) for number in range(len(self)))

    def _prepare(self, number: int, content: Tensor) -> Style:
        request, picture, mask = self._requests[number], self.pictures[number], self._masks[number]
        side = max(1, round(self._scale * min(content.shape[-2:]))) if picture else 0
        if picture and self._transfer:
            style = Style(image=transfer_colours(_read(picture, side).to(content), content))
        else:
            style = self._encode(request.value, picture, side)
        share = None if mask is None else to_share(mask.resize(*content.shape[-2:]))[None].to(content)
        return replace(style, weight=request.weight, mask=share)

    def _encode(self, value: Path | float | str, picture: Picture | None, side: int) -> Style:
        """Return the translator's form of a style, the oldest given up where many are kept."""
        key = value, side
        if key not in self._encoded:
            if len(self._encoded) >= _KEPT:
                del self._encoded[next(iter(self._encoded))]
            style = Style(image=_read(picture, side)) if picture else value
            assert not isinstance(style, Path)
            try:
                (self._encoded[key],) = self._translator.encode(style)
            except UserError as error:
                raise type(error)(f"--style {value}: {error}") from None
        return self._encoded[key]


def _read(picture: Picture, side: int) -> Tensor:
    return normalise(picture.scale_shorter_side(side).to_tensor()[None])
