"""The images that an evaluation is made on, and where outputs come from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from diptych.metrics.domain_classifier import DomainClassifier, shrink, train_classifier
from diptych.metrics.statistics import hash_files

Load = Callable[[str, Sequence[Path]], Tensor]
_TRAIN_LIMIT = 1000  # training images that the classifier and the floor look at, so that large sets stay affordable


@dataclass(frozen=True)
class Chunk:
    """Some test images of A, N×C×H×W in [-1, 1], their files, and as many of B that are not their truths.

    `number`: how many images came before, for whoever draws at random.
    """

    paths: Sequence[Path]
    inputs: Tensor
    references: Tensor
    number: int = 0


@dataclass(frozen=True)
class Source:
    """Where outputs come from: `make` returns those of a chunk; `back` translates images of B to A, where it can.

    `images` are outputs of which nobody knows which input each is of, and take the place of both.
    """

    make: Callable[[Chunk], Tensor] | None = None
    back: Callable[[Tensor], Tensor] | None = None
    images: Sequence[Path] = ()


@dataclass(frozen=True)
class EvaluationData:
    """Image paths by domain (`a` is what is translated), how a domain's images are loaded, and the domains' names.

    `reals`: the images of B that distances are to, where they are not those of the test set. `prepared` says how images
    are brought to size; where it is not said nothing is kept for the next evaluation.
    """

    train: dict[str, list[Path]]
    test: dict[str, list[Path]]
    load: Load
    names: Mapping[str, str] = field(default_factory=lambda: {"a": "A", "b": "B"})
    batch_size: int = 16
    reals: Sequence[Path] | None = None
    prepared: str = ""

    @property
    def real_paths(self) -> Sequence[Path]:
        """The images of B that distances are to."""
        return self.reals or self.test["b"]

    @cached_property
    def reals_hash(self) -> str:
        """By which the images that distances are to are known, wherever they lie."""
        return hash_files(self.real_paths)

    @cached_property
    def aligned(self) -> bool:
        """Whether file names agree one by one, so that images of B are the truths of A's."""
        return [path.stem for path in self.test["a"]] == [path.stem for path in self.test["b"]]

    @cached_property
    def channels(self) -> dict[str, int]:
        """How many channels images of either domain have."""
        return {domain: self.load(domain, self.test[domain][:1]).shape[1] for domain in "ab"}

    @cached_property
    def alike(self) -> bool:
        """Whether images of A and B have as many channels: something can be copied, and one network see both."""
        return self.channels["a"] == self.channels["b"]

    def read(self, domain: str, paths: Sequence[Path]) -> Iterator[Tensor]:
        """Yield images in batches, N×C×H×W."""
        for start in range(0, len(paths), self.batch_size):
            yield self.load(domain, paths[start : start + self.batch_size])

    def chunks(self, samples: int = 1) -> Iterator[tuple[Chunk, Tensor | None]]:
        """Yield test images of A, so many times each, and their truths where the test set is aligned."""
        numbers = range(len(self.test["a"]))
        for sample in range(samples):
            for start in range(0, len(numbers), self.batch_size):
                yield self.read_chunk(numbers[start : start + self.batch_size], sample)

    def read_chunk(self, numbers: Sequence[int], sample: int = 0) -> tuple[Chunk, Tensor | None]:
        """Return the test images of A of these numbers, one after another, and their truths."""
        paths, others = self.test["a"], self.test["b"]
        chosen = [paths[number] for number in numbers]
        shifted = [others[(number + 1 + sample) % len(others)] for number in numbers]
        truths = self.load("b", [others[number] for number in numbers]) if self.aligned else None
        before = sample * len(paths) + numbers[0]
        return Chunk(chosen, self.load("a", chosen), self.load("b", shifted), before), truths

    def train_classifier(self) -> DomainClassifier | None:
        """Train a classifier on the training images, where there are some of both domains and they are alike."""
        if not all(self.train.get(domain) for domain in "ab") or not self.alike:
            return None
        train = {domain: spread(paths, _TRAIN_LIMIT) for domain, paths in self.train.items()}
        return train_classifier(self._shrink(train), self._shrink(self.test))

    def _shrink(self, paths: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        """Return images as small as a classifier takes them."""
        return {domain: torch.cat([*map(shrink, self.read(domain, files))]) for domain, files in paths.items()}


def spread(paths: Sequence[Path], limit: int = _TRAIN_LIMIT) -> Sequence[Path]:
    """Return at most `limit` paths, evenly spread."""
    return paths[:: max(1, -(-len(paths) // limit))]
