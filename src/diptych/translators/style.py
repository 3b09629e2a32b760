"""A style and mixtures of styles: what a translator is asked to translate to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from diptych.errors import UserError
from diptych.networks.style_network import StyleSource


@dataclass(frozen=True, eq=False)
class Style:
    """One style, said in one way: by example, by a code of the network's, by a place on its scale, or by name.

    `image` is 1×C×h×w in [-1, 1], or N×C×h×w where each of N contents has its own; `code` N×K×1×1. In a mixture styles
    count by their `weight`, and only where their `mask`, 1×1×H×W in [0, 1] at the content's size, is not zero.
    """

    image: Tensor | None = None
    code: Tensor | None = None
    number: float | None = None
    name: str | None = None
    weight: float = 1.0
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.image, self.code, self.number, self.name) if value is not None]
        if len(given) != 1:
            raise ValueError("a style is one of image, code, number and name")
        if not 0 < self.weight < math.inf:
            raise UserError(f"a style has weight {self.weight:g}; it must be a number above 0")

    @property
    def source(self) -> StyleSource | None:
        """What a network has to make a code from; None where there is a code already."""
        for source in ("image", "number", "name"):
            if getattr(self, source) is not None:
                return source
        return None


StyleLike = Tensor | float | str | Style | Sequence[Style]
"""What may be given as a style: a batch of images, a number, a name, a `Style`, or a mixture of these."""


def to_styles(style: StyleLike) -> tuple[Style, ...]:
    """Return the styles of a mixture, one where a single style is given."""
    if isinstance(style, Style):
        return (style,)
    if isinstance(style, Tensor):
        return (Style(image=style),)
    if isinstance(style, str):
        return (Style(name=style),)
    if isinstance(style, int | float):
        return (Style(number=float(style)),)
    if not style:
        raise UserError("there is no style; give at least one")
    return tuple(style)


def check_masks(content: Tensor, styles: Sequence[Style]) -> None:
    """Raise `UserError` unless the masks are of the content's size and white somewhere."""
    for number, style in enumerate(styles, 1):
        if style.mask is not None and style.mask.shape[-2:] != content.shape[-2:]:
            sizes = ["×".join(map(str, x.shape[-2:])) for x in (style.mask, content)]
            raise UserError(f"the mask of style {number} is {sizes[0]}, the content {sizes[1]}")
        if style.mask is not None and not style.mask.max() > 0:
            raise UserError(f"the mask of style {number} is empty: black everywhere")
