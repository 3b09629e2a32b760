"""What the files of a domain hold: pictures, or numbers of a declared range."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import ImageColor

from diptych.errors import UserError

DEPTHS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
MAX_PIXELS = 150_000_000
"""An image with more pixels is refused before it is decoded: it would take half a gigabyte."""


@dataclass(frozen=True)
class Form:
    """Channels and meaning of a domain's files, the same words in a recipe and in a bundle's notes.

    Without `range` files are pictures: 8 bits, RGB for three channels, grey for one; deeper ones are scaled to 8.
    With `range` they hold numbers (grey pictures, TIFF, npy of any depth): low…high become -1…1 and back.
    `depth` is the numpy name of the type that numbers are written in; `background` lies behind transparency.
    """

    channels: int = 3
    range: tuple[float, float] | None = None
    depth: str = "uint8"
    background: str = "white"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= 64:
            raise UserError(f"channels = {self.channels} must lie between 1 and 64")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise UserError(f"range = {list(self.range)} must be two numbers, the lower first")
        if self.depth not in DEPTHS:
            raise UserError(f"depth = {self.depth!r} must be one of {', '.join(DEPTHS)}")
        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise UserError(f"background = {self.background!r} is no colour; say white or '#f0f0f0'") from None

    @property
    def holds_numbers(self) -> bool:
        """Whether files are read as stored, not as pictures."""
        return self.range is not None or self.channels not in (1, 3)

    def describe(self) -> dict[str, Any]:
        """Return plain words from which `from_config` makes this form again; the limit on pixels is each user's own."""
        words = asdict(self) | {"range": None if self.range is None else list(self.range)}
        del words["max_pixels"]
        return words

    @classmethod
    def from_config(cls, words: Mapping[str, Any]) -> "Form":
        """Return the form that a recipe or a bundle describes."""
        low_high: Sequence[float] | None = words.get("range")
        if low_high is not None and len(low_high) != 2:
            raise UserError(f"range = {low_high} must be two numbers, the lower first")
        return cls(**(dict(words) | {"range": None if low_high is None else (float(low_high[0]), float(low_high[1]))}))


PICTURE = Form()
