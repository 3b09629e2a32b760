"""What translators score, each number beside those of the input, a blurred input and real images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.metrics.domain_classifier import DomainClassifier, shrink, train_classifier
from diptych.metrics.faults import blur
from diptych.metrics.metric import Batch, Metric, Need, Score

Load = Callable[[str, Sequence[Path]], Tensor]
Scores = dict[str, Score]

TRANSLATED = "output"
"""The column of a single translator; those of several are named by them."""
_TRAIN_LIMIT = 1000  # training images that the classifier and the floor look at, so that large sets stay affordable


@dataclass(frozen=True)
class Chunk:
    """Some test images of A, N×C×H×W in [-1, 1], their files, and as many of B that are not their truths."""

    paths: Sequence[Path]
    inputs: Tensor
    references: Tensor


@dataclass(frozen=True)
class Source:
    """Where outputs come from: `make` returns those of a chunk; `back` translates images of B to A, where it can."""

    make: Callable[[Chunk], Tensor]
    back: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class EvaluationData:
    """Image paths by domain (`a` is what is translated), how a domain's images are loaded, and the domains' names."""

    train: dict[str, list[Path]]
    test: dict[str, list[Path]]
    load: Load
    names: Mapping[str, str] = field(default_factory=lambda: {"a": "A", "b": "B"})
    batch_size: int = 16

    @cached_property
    def aligned(self) -> bool:
        """Whether file names agree one by one, so that images of B are the truths of A's."""
        return [path.stem for path in self.test["a"]] == [path.stem for path in self.test["b"]]

    @cached_property
    def alike(self) -> bool:
        """Whether images of A and B have as many channels: something can be copied, and one network see both."""
        return len({self.load(domain, self.test[domain][:1]).shape[1] for domain in "ab"}) == 1

    def read(self, domain: str, paths: Sequence[Path]) -> Iterator[Tensor]:
        """Yield images in batches, N×C×H×W."""
        for start in range(0, len(paths), self.batch_size):
            yield self.load(domain, paths[start : start + self.batch_size])

    def chunks(self) -> Iterator[tuple[Chunk, Tensor | None]]:
        """Yield test images of A, and their truths where the test set is aligned."""
        paths, others = self.test["a"], self.test["b"]
        shifted = [others[(number + 1) % len(others)] for number in range(len(paths))]
        truths = self.read("b", others) if self.aligned else repeat(None)
        for number, (inputs, references) in enumerate(zip(self.read("a", paths), self.read("b", shifted), strict=True)):
            start = number * self.batch_size
            yield Chunk(paths[start : start + len(inputs)], inputs, references), next(truths)

    def train_classifier(self) -> DomainClassifier | None:
        """Train a classifier on the training images, where there are some of both domains and they are alike."""
        if not all(self.train.get(domain) for domain in "ab") or not self.alike:
            return None
        train = {domain: _spread(paths, _TRAIN_LIMIT) for domain, paths in self.train.items()}
        return train_classifier(self._shrink(train), self._shrink(self.test))

    def _shrink(self, paths: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        """Return images as small as a classifier takes them."""
        return {domain: torch.cat([*map(shrink, self.read(domain, files))]) for domain, files in paths.items()}


@dataclass(frozen=True)
class Evaluation:
    """Scores by column and metric: of translators, and to read them beside, of no method at all and of real images."""

    columns: dict[str, Scores]
    metrics: Sequence[Metric]
    classifier: DomainClassifier | None
    images: int
    names: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for a JSON file."""
        return {
            "images": self.images,
            "names": dict(self.names),
            "columns": {
                column: {name: _to_dict(score) for name, score in scores.items()}
                for column, scores in self.columns.items()
            },
            "classifier_accuracy": self.classifier.accuracy if self.classifier else None,
        }


def evaluate(
    sources: Mapping[str, Source],
    data: EvaluationData,
    metrics: Sequence[Metric],
    classifier: DomainClassifier | None = None,
    anchors: bool = True,
) -> Evaluation:
    """Translate test A and compare it with test B, by every metric for which there is what it needs.

    A classifier is trained where a metric needs one, unless one is given, for instance that of the other direction,
    swapped. `anchors`: also measure the inputs themselves, blurred ones, and real images.
    """
    for domain in "ab":
        if not data.test[domain]:
            raise DataError(f"there are no test images of domain {domain.upper()} to evaluate on")
    if classifier is None and any("classifier" in metric.needs for metric in metrics):
        classifier = data.train_classifier()
    judge = _Judge(data, metrics, classifier)
    columns = {title: judge.measure(source) for title, source in sources.items()}
    if anchors:
        if data.alike:
            columns["copying"] = judge.measure(Source(lambda chunk: chunk.inputs))
            columns["blurring"] = judge.measure(Source(lambda chunk: blur(chunk.inputs)))
        if data.train.get("b"):  # nobody is expected to pass it
            columns["real_train_b"] = judge.measure_reals(_spread(data.train["b"], _TRAIN_LIMIT), {"reals"})
        columns["real_test_b"] = judge.measure_reals(data.test["b"], set())
    return Evaluation(columns, metrics, classifier, len(data.test["a"]), data.names)


def find_available(aligned: bool, alike: bool, back: bool) -> set[Need]:
    """Return what there is beside outputs that come from test images: truths, alike inputs, the other direction."""
    found: set[Need] = {"input", "reals"}
    found.update(["truth"] if aligned else [], ["alike"] if alike else [], ["back"] if back else [])
    return found


def list_scores(metrics: Iterable[Metric], available: set[Need]) -> list[str]:
    """Return the names of the metrics for which there is what they need."""
    return [metric.name for metric in metrics if metric.needs <= available]


class _Judge:
    """Measures columns against the real test images of B, which are described once."""

    def __init__(self, data: EvaluationData, metrics: Sequence[Metric], classifier: DomainClassifier | None) -> None:
        self.data, self.metrics, self.classifier = data, metrics, classifier
        self.always: set[Need] = {"classifier"} if classifier else set()
        needing = [metric for metric in metrics if "reals" in metric.needs and self._can(metric)]
        batches = (Batch(images, classifier=classifier) for images in data.read("b", data.test["b"]))
        self.reals = _describe(batches, {metric.name: metric.describe_reals for metric in needing})

    def measure(self, source: Source) -> Scores:
        """Return the scores of outputs that come one by one from inputs."""
        found = find_available(self.data.aligned, self.data.alike, source.back is not None)
        return self._score(self._translate(source), found)

    def measure_reals(self, paths: Sequence[Path], available: set[Need]) -> Scores:
        """Return the scores of real images of B."""
        batches = (Batch(images, classifier=self.classifier) for images in self.data.read("b", paths))
        return self._score(batches, available)

    def _translate(self, source: Source) -> Iterator[Batch]:
        for chunk, truths in self.data.chunks():
            yield Batch(source.make(chunk).cpu(), chunk.inputs, truths, source.back, self.classifier)

    def _can(self, metric: Metric) -> bool:
        return "classifier" not in metric.needs or self.classifier is not None

    def _score(self, batches: Iterable[Batch], available: set[Need]) -> Scores:
        fitting = {metric.name: metric for metric in self.metrics if metric.needs <= available | self.always}
        rows = _describe(batches, {name: metric.describe for name, metric in fitting.items()})
        none = torch.empty(0)
        return {name: metric.score(rows[name], self.reals.get(name, none)) for name, metric in fitting.items()}


def _describe(batches: Iterable[Batch], describers: Mapping[str, Callable[[Batch], Tensor]]) -> dict[str, Tensor]:
    """Return the rows of all batches, by metric, looking at each batch once."""
    rows: dict[str, list[Tensor]] = {name: [] for name in describers}
    if describers:
        for batch in batches:
            for name, describe in describers.items():
                rows[name].append(describe(batch))
    return {name: torch.cat(found) for name, found in rows.items()}


def _to_dict(score: Score) -> dict[str, float | int]:
    low, high = score.interval
    return {"value": score.value, "low": low, "high": high, "images": score.images}


def _spread(paths: list[Path], limit: int) -> list[Path]:
    """Return at most `limit` paths, evenly spread."""
    return paths[:: max(1, -(-len(paths) // limit))]
