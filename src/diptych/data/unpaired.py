"""Unpaired training images: what is drawn is a pure function of the seed, the epoch and the position."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset, Sampler

from diptych.data.preparation import Preparation

Draw = tuple[int, int]


def seed_generator(*numbers: int) -> Generator:
    """Return a random generator whose state depends on all the numbers and on nothing else."""
    state = np.random.SeedSequence([number & 0xFFFFFFFF for number in numbers]).generate_state(1, np.uint64)
    return Generator().manual_seed(int(state[0] >> np.uint64(1)))


class UnpairedImages(Dataset[dict[str, Tensor]]):
    """Item (epoch, i) is image i mod |A| of A beside a random image of B; an epoch has max(|A|, |B|) items."""

    def __init__(
        self, paths_a: Sequence[Path], paths_b: Sequence[Path], preparation: Preparation, seed: int, cache: bool
    ) -> None:
        self.paths_a, self.paths_b = list(paths_a), list(paths_b)
        self.preparation = preparation
        self.seed = seed
        self._cached: dict[Path, Tensor] | None = {} if cache else None

    def __len__(self) -> int:
        return max(len(self.paths_a), len(self.paths_b))

    def __getitem__(self, draw: Draw) -> dict[str, Tensor]:
        random = seed_generator(self.seed, *draw)
        path_a, path_b = self._pair(draw, random)
        return {
            "a": self.preparation.vary(self._load(path_a), random),
            "b": self.preparation.vary(self._load(path_b), random),
        }

    def find_paths(self, draw: Draw) -> tuple[Path, Path]:
        """Return the two files that an item is made of."""
        return self._pair(draw, seed_generator(self.seed, *draw))

    def _pair(self, draw: Draw, random: Generator) -> tuple[Path, Path]:
        other = int(torch.randint(len(self.paths_b), (), generator=random))
        return self.paths_a[draw[1] % len(self.paths_a)], self.paths_b[other]

    def _load(self, path: Path) -> Tensor:
        if self._cached is None:
            return self.preparation.load(path)
        if path not in self._cached:
            self._cached[path] = self.preparation.load(path)
        return self._cached[path]


class EpochBatches(Sampler[list[Draw]]):
    """One process's batches of an epoch, from the iteration that training has reached.

    The order is a permutation drawn from (seed, epoch); process r of w takes every w-th draw. Where the
    items do not divide by the number of processes, the epoch begins again with its first draws.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int,
        iteration: Callable[[], int] = lambda: 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.items, self.batch_size, self.seed = items, batch_size, seed
        self.iteration = iteration
        self.rank, self.processes = rank, processes

    @property
    def images_per_epoch(self) -> int:
        """The items of an epoch over all processes."""
        return -(-self.items // self.processes) * self.processes

    def __len__(self) -> int:
        return -(-self.images_per_epoch // (self.batch_size * self.processes))

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, position = divmod(self.iteration(), len(self))
        order = torch.randperm(self.items, generator=seed_generator(self.seed, epoch)).tolist()
        order = (order * self.processes)[: self.images_per_epoch]
        step = self.batch_size * self.processes
        for start in range(position * step, len(order), step):
            yield [(epoch, index) for index in order[start + self.rank : start + step : self.processes]]
