"""What the players look at: the images of a batch, made once."""

from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor

from diptych.methods.player import Images, Player

Render = Callable[[Images], Images]
Recall = Callable[[str], Tensor]
"""Gives the images of a name that were rendered for a batch."""


class Rendering(Protocol):
    """A batch's images, shown to the players in turn."""

    def show(self, player: Player) -> Iterator[tuple[float, Images]]:
        """Yield images, with a graph where the player trains what made them, and their share of the batch."""

    def recall(self, name: str) -> Tensor:
        """Return the whole batch's images of a name, without a graph."""


class WholeBatch:
    """The plain way: rendered once, shown whole to everybody."""

    def __init__(self, render: Render, batch: Images) -> None:
        self._images = render(batch)

    def show(self, player: Player) -> Iterator[tuple[float, Images]]:
        yield 1.0, self._images

    def recall(self, name: str) -> Tensor:
        return self._images[name].detach()
