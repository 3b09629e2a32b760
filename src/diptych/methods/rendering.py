"""What the players look at: the images of a batch, made once."""

from collections.abc import Callable, Iterator
from typing import Protocol

from diptych.methods.player import Images, Player

Render = Callable[[Images], Images]


class Rendering(Protocol):
    """A batch's images, shown to the players in turn."""

    def show(self, player: Player) -> Iterator[tuple[float, Images]]:
        """Yield images, with a graph where the player trains what made them, and their share of the batch."""

    def recall(self) -> Images:
        """Return all images without a graph."""


class WholeBatch:
    """The plain way: rendered once, shown whole to everybody."""

    def __init__(self, render: Render, batch: Images) -> None:
        self._images = render(batch)

    def show(self, player: Player) -> Iterator[tuple[float, Images]]:
        yield 1.0, self._images

    def recall(self) -> Images:
        return {name: image.detach() for name, image in self._images.items()}
