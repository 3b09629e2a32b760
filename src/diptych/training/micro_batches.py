"""A batch in pieces, whose gradients add up to those of the whole: less memory for more time."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diptych.methods.player import Images, Player
from diptych.methods.rendering import Render
from diptych.randomness import capture_random_state, restore_random_state


class MicroBatches:
    """Renders piece by piece, again for each player who trains `parameters`, of what renders; a `Rendering`.

    The others are shown what was rendered first, without a graph.
    """

    def __init__(self, render: Render, batch: Images, count: int, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = {id(parameter) for parameter in parameters}
        self._pieces = [_Piece(render, part) for part in _cut(batch, count)]
        self._images = len(batch["a"])

    def show(self, player: Player) -> Iterator[tuple[float, Images]]:
        trains = any(id(parameter) in self._parameters for parameter in player.parameters())
        for piece in self._pieces:
            yield piece.images / self._images, piece.render() if trains else piece.recall()

    def recall(self, name: str) -> Tensor:
        return torch.cat([piece.recall()[name] for piece in self._pieces])


class _Piece:
    """Some images of a batch, rendered when asked for, always with the same random numbers."""

    def __init__(self, render: Render, batch: Images) -> None:
        self._render, self._batch = render, batch
        self._random: dict[str, Any] | None = None
        self._seen: Images = {}
        self.images = len(batch["a"])

    def render(self) -> Images:
        """Return the images with a graph that nothing else holds on to."""
        after = capture_random_state()
        if self._random is None:
            self._random, after = after, {}
        else:
            restore_random_state(self._random)
        images = self._render(self._batch)
        self._seen = self._seen or {name: image.detach() for name, image in images.items()}
        if after:
            restore_random_state(after)
        return images

    def recall(self) -> Images:
        """Return the images as first rendered, without a graph."""
        if not self._seen:
            with torch.no_grad():
                self.render()
        return self._seen


def _cut(batch: Images, count: int) -> list[Images]:
    """Return the batch's images in as many pieces as there are images for, at most `count`."""
    chunks = {name: images.chunk(count) for name, images in batch.items() if isinstance(images, torch.Tensor)}
    return [dict(zip(chunks, parts, strict=True)) for parts in zip(*chunks.values(), strict=True)]
