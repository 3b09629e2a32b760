"""Networks that reach their result in steps: bridges, flows, and whatever else is evaluated more than once."""

from collections.abc import Iterator
from typing import Annotated

from torch import Generator, Tensor

from diptych.arguments import Range
from diptych.networks.registry import Network

Steps = Annotated[int, Range(1, 1000)]
"""How many evaluations a translation takes."""


class IterativeNetwork(Network, registered=False):
    """A network that is evaluated `steps` times on the way from an image to its translation."""

    steps: int
    """How many evaluations are made where nobody says another number."""
    takes_seed = False
    """Whether noise is drawn on the way."""

    def iterate(self, x: Tensor, steps: int, random: Generator, code: Tensor | None = None) -> Iterator[Tensor]:
        """Yield N×C×H×W images in about [-1, 1], one after each step; the last is the translation.

        `random` is what all noise is drawn from; `code` the style's, where the network is also a `StyleNetwork`.
        """
        raise NotImplementedError
