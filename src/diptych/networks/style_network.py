"""Networks that are told in which style to translate."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from diptych.errors import UserError
from diptych.networks.registry import Network

StyleSource = Literal["image", "number", "name", "seed"]
"""What a code may come from: an example, a place on a scale, a name that was learnt, or chance."""

_MEAN_CODE_RATE = 0.01  # how fast the mean code follows the codes that are seen


class StyleNetwork(Network, registered=False):
    """A network whose style is a code, N×K×1×1, or N×K×h×w where it differs from place to place.

    Codes of one network may be mixed like colours: their weighted mean is a style between them. A subclass has those of
    `encode_style`, `encode_number`, `encode_name` and `sample_code` that make sense for it; `takes` tells which.
    """

    mean_code: Tensor
    """The code that is used where none is given: the mean of the styles it was trained on."""

    def register_mean_code(self, size: int, value: float = 0.0) -> None:
        """Make room for the mean code, of one value until styles have been seen."""
        self.register_buffer("mean_code", torch.full((1, size, 1, 1), value))

    @torch.no_grad()
    def update_mean_code(self, codes: Tensor, first: bool) -> None:
        """Let the mean code follow N×K×1×1 codes of styles; the first ones are taken as they are."""
        self.mean_code.lerp_(codes.to(self.mean_code).mean(0, keepdim=True), 1.0 if first else _MEAN_CODE_RATE)

    @classmethod
    def takes(cls, source: StyleSource) -> bool:
        """Whether a code can be made from this."""
        name = _MAKERS[source]
        return getattr(cls, name) is not getattr(StyleNetwork, name)

    @classmethod
    def list_sources(cls) -> tuple[StyleSource, ...]:
        """Return what a style can be asked for by, rather than drawn."""
        return tuple(source for source in get_args(StyleSource) if source != "seed" and cls.takes(source))

    def encode_style(self, style: Tensor) -> Tensor:
        """Return the N×K×1×1 code of N×C×h×w style images in [-1, 1]."""
        raise self._refuse("image")

    def encode_number(self, number: float) -> Tensor:
        """Return the 1×K×1×1 code of a place on the network's scale."""
        raise self._refuse("number")

    @property
    def style_names(self) -> list[str]:
        """The styles that the network knows by name; where there are some, it knows no others."""
        return []

    def encode_name(self, name: str) -> Tensor:
        """Return the 1×K×1×1 code of a style that the network knows by name."""
        raise self._refuse("name")

    def sample_code(self, count: int, random: Generator) -> Tensor:
        """Return `count`×K×1×1 codes drawn at random, the same for the same state of the generator."""
        raise self._refuse("seed")

    def encode_content(self, x: Tensor) -> Tensor | None:
        """Return the code with which images stay as they are, but for what the network loses of any; None: no such."""
        return None

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Translate N×C×H×W images in [-1, 1] to the code's style, or to that of the mean code."""
        raise NotImplementedError

    def blend(self, x: Tensor, codes: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
        """Translate in several N×K×1×1 codes; their shares, N×1×1×1 or N×1×h×w, add up to one everywhere."""
        total: Tensor = sum(code * share for code, share in zip(codes, shares, strict=True))  # type: ignore[assignment]
        return self(x, total)

    def _refuse(self, source: StyleSource) -> UserError:
        taken = [other for other in get_args(StyleSource) if self.takes(other)]
        return UserError(f"{type(self).__name__} takes no style by {source}; it takes {', '.join(taken) or 'none'}")


_MAKERS: dict[StyleSource, str] = {
    "image": "encode_style",
    "number": "encode_number",
    "name": "encode_name",
    "seed": "sample_code",
}
