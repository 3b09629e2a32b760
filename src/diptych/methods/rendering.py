"""What the players look at: a batch rendered once, or piece by piece where memory is short."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from diptych.methods.player import Images, Player
from diptych.methods.random_state import capture_random_state, restore_random_state

if TYPE_CHECKING:
    from diptych.methods.method import Method


@dataclass(frozen=True)
class Thrift:
    """How memory is saved: batches in `pieces` whose gradients add up, and each direction's graph by itself."""

    pieces: int = 1
    by_direction: bool = False

    @property
    def idle(self) -> bool:
        return self.pieces == 1 and not self.by_direction


class Rendering:
    """Renders a batch for the players in turn, and hands each the images and their share of the batch.

    A player who trains what renders gets images with a graph; the others get these without it.
    """

    def __init__(self, method: "Method", batch: Images, thrift: Thrift) -> None:
        self._method = method
        self._whole = method.render(batch) if thrift.idle else None
        self._pieces = [] if thrift.idle else [_Piece(method, part, thrift) for part in _cut(batch, thrift.pieces)]

    def show(self, player: Player) -> Iterator[tuple[float, Images]]:
        """Yield shares and images; the shares of a piece's directions count the terms, which differ, once."""
        if self._whole is not None:
            yield 1.0, self._whole
            return
        total = sum(piece.images for piece in self._pieces)
        trains = self._method.trains_translators(player)
        for piece in self._pieces:
            for images in piece.render() if trains else [piece.recall()]:
                yield piece.images / total, images


class _Piece:
    """Some images of a batch, rendered when asked for, always with the same random numbers."""

    def __init__(self, method: "Method", batch: Images, thrift: Thrift) -> None:
        self._method, self._batch = method, batch
        self._directions: Sequence[str | None] = tuple(method.translators) if thrift.by_direction else (None,)
        self._random: dict[str, Any] | None = None
        self._seen: Images = {}
        self.images = len(batch["a"])

    def render(self) -> Iterator[Images]:
        """Yield each direction's images, with a graph that nothing else holds on to."""
        after = self._begin()
        for direction in self._directions:
            if direction is None:
                images = self._method.render(self._batch)
            else:
                images = self._method.render_direction(self._batch, direction)
            self._seen |= {name: image.detach() for name, image in images.items()}
            yield images
            del images
        if after is not None:
            restore_random_state(after)

    def recall(self) -> Images:
        """Return all images without a graph, as last rendered."""
        if not self._seen:
            with torch.no_grad():
                for _ in self.render():
                    pass
        return self._seen

    def _begin(self) -> dict[str, Any] | None:
        """Note the random state; at a second rendering go back to it, and return what to go on from afterwards."""
        now = capture_random_state()
        if self._random is None:
            self._random = now
            return None
        restore_random_state(self._random)
        return now


def _cut(batch: Images, pieces: int) -> list[Images]:
    """Return the batch's images in as many pieces as there are images for, at most `pieces`."""
    chunks = {name: images.chunk(pieces) for name, images in batch.items() if isinstance(images, torch.Tensor)}
    return [dict(zip(chunks, parts, strict=True)) for parts in zip(*chunks.values(), strict=True)]
