"""Unpaired training images: what is drawn is a pure function of the seed, the epoch and the position."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset, Sampler

from diptych.data.domain import Domain, Notes
from diptych.errors import UserError
from diptych.randomness import seed_generator

Draw = tuple[int, int]
Item = dict[str, Any]


class UnpairedImages(Dataset[Item]):
    """Item (epoch, i) is image i mod |A| of A beside a random image of B, both as stored (uint8, or floats).

    With `paired` it is image i of B, cropped and flipped alike. `notes` say what happened to files.
    """

    def __init__(self, a: Domain, b: Domain, seed: int, paired: bool = False) -> None:
        self.a, self.b = a, b
        self.seed, self.paired = seed, paired

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    def __getitem__(self, draw: Draw) -> Item:
        random, notes = seed_generator(self.seed, *draw), Notes()
        index_a, index_b = self._pair(draw, random)
        other = seed_generator(self.seed, *draw) if self.paired else random
        return {
            "a": self.a.preparation.vary(self.a.load(index_a, notes), random),
            "b": self.b.preparation.vary(self.b.load(index_b, notes), other),
            "index_b": index_b,
            "notes": notes,
        }

    def find_paths(self, draw: Draw) -> tuple[Path, Path]:
        """Return the two files that an item is made of, if they can be read."""
        index_a, index_b = self._pair(draw, seed_generator(self.seed, *draw))
        return self.a.paths[index_a], self.b.paths[index_b]

    def _pair(self, draw: Draw, random: Generator) -> tuple[int, int]:
        if self.paired:
            return draw[1] % len(self.a), draw[1] % len(self.b)
        return draw[1] % len(self.a), int(torch.randint(len(self.b), (), generator=random))


def collate(items: Sequence[Item]) -> Item:
    """Stack the images of a batch, number those of B, and gather its notes."""
    batch: Item = {domain: _stack([item[domain] for item in items]) for domain in "ab"}
    batch["index_b"] = torch.tensor([item["index_b"] for item in items])
    notes = [item["notes"] for item in items]
    return batch | {
        "skipped": [line for note in notes for line in note.skipped],
        "remarks": [line for note in notes for line in note.remarks],
    }


def _stack(images: list[Tensor]) -> Tensor:
    sizes = {tuple(image.shape[-2:]) for image in images}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}×{height}" for height, width in sorted(sizes)[:3])
        raise UserError(
            f"images of different sizes ({shown}) cannot share a batch: data.batch_size=1, or a data.preset that crops"
        )
    return torch.stack(images)


class EpochBatches(Sampler[list[Draw]]):
    """One process's batches of an epoch, from the image that training has reached.

    An epoch ends after so many images seen, as it does for the schedule: what remains of one is the same whatever
    batches it began with. The order is a permutation of `items` drawn from (seed, epoch), of which the first
    `epoch_size` are shown; process r of w takes every w-th draw. Where these do not divide by the number of processes,
    the epoch begins again with its first draws.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int,
        images_seen: Callable[[], int] = lambda: 0,
        rank: int = 0,
        processes: int = 1,
        epoch_size: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self.items, self.batch_size, self.seed = items, batch_size, seed
        self.images_seen = images_seen
        self.rank, self.processes = rank, processes
        self.epoch_size = epoch_size or items
        self.drop_last = drop_last
        if not len(self):
            raise UserError(
                f"data.drop_last leaves no batch: an epoch has {self.epoch_size} images, "
                f"{batch_size * processes} make a batch; lower data.batch_size or set data.epoch_size"
            )

    @property
    def images_per_epoch(self) -> int:
        """The items of an epoch over all processes."""
        if self.drop_last:
            return len(self) * self.batch_size * self.processes
        return -(-self.epoch_size // self.processes) * self.processes

    def __len__(self) -> int:
        step = self.batch_size * self.processes
        return self.epoch_size // step if self.drop_last else -(-self.epoch_size // step)

    def locate(self) -> tuple[int, int]:
        """Return the epoch that training has reached, from 0, and how many images of it have been seen."""
        epoch, position = divmod(self.images_seen(), self.images_per_epoch)
        # Begun with other batches, an epoch of whole ones goes on with the one that holds the next image.
        return epoch, position - position % (self.batch_size * self.processes) if self.drop_last else position

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, position = self.locate()
        order = torch.randperm(max(self.items, self.epoch_size), generator=seed_generator(self.seed, epoch)).tolist()
        order = order[: self.epoch_size]
        order = (order * self.processes)[: self.images_per_epoch]
        step = self.batch_size * self.processes
        for start in range(position, len(order), step):
            yield [(epoch, index) for index in order[start + self.rank : start + step : self.processes]]
