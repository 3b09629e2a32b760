"""What translators score, each number beside those of the input, a blurred input and real images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.images import normalise, to_pixels
from diptych.metrics.domain_classifier import DomainClassifier
from diptych.metrics.evaluation_data import EvaluationData, Source, spread
from diptych.metrics.faults import blur
from diptych.metrics.metric import RGB, Batch, Metric, Need, Score
from diptych.metrics.protocol import PROTOCOLS, Protocol
from diptych.metrics.statistics import keep_rows, recall_rows

Scores = dict[str, Score]

TRANSLATED = "output"
"""The column of a single translator; those of several are named by them."""


@dataclass(frozen=True)
class Evaluation:
    """Scores by column and metric: of translators, and to read them beside, of no method at all and of real images."""

    columns: dict[str, Scores]
    metrics: Sequence[Metric]
    classifier: DomainClassifier | None
    data: EvaluationData
    protocol: Protocol = PROTOCOLS["default"]
    badness: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """How bad each output is, N, by column and metric, where a metric says something of single images."""

    @property
    def images(self) -> int:
        """How many images were translated."""
        return len(self.data.test["a"])


def evaluate(
    sources: Mapping[str, Source],
    data: EvaluationData,
    metrics: Sequence[Metric],
    classifier: DomainClassifier | None = None,
    anchors: bool = True,
    intervals: bool = True,
    protocol: Protocol = PROTOCOLS["default"],
) -> Evaluation:
    """Translate test A and compare it with test B, by every metric for which there is what it needs.

    A classifier is trained where a metric needs one, unless one is given, for instance that of the other direction,
    swapped. `anchors`: also measure the inputs themselves, blurred ones, and real images; `intervals`: also say how
    sure the scores are. Of the protocol it is how outputs are made and rounded that matters here.
    """
    for domain in "ab":
        if not data.test[domain]:
            raise DataError(f"there are no test images of domain {domain.upper()} to evaluate on")
    if classifier is None and any("classifier" in metric.needs for metric in metrics):
        classifier = data.train_classifier()
    judge = _Judge(data, metrics, classifier, protocol, intervals)
    measured = {title: judge.measure(source) for title, source in sources.items()}
    if anchors:
        if data.alike:
            measured["copying"] = judge.measure(Source(lambda chunk: chunk.inputs))
            measured["blurring"] = judge.measure(Source(lambda chunk: blur(chunk.inputs)))
        if data.train.get("b"):  # nobody is expected to pass it
            measured["real_train_b"] = judge.measure_set(spread(data.train["b"]), {"reals"})
        measured["real_test_b"] = judge.measure_set(data.test["b"], set())
    columns = {title: found.scores for title, found in measured.items()}
    badness = {title: found.badness for title, found in measured.items()}
    return Evaluation(columns, metrics, classifier, data, protocol, badness)


def find_available(aligned: bool, alike: bool, back: bool) -> set[Need]:
    """Return what there is beside outputs that come from test images: truths, alike inputs, the other direction."""
    found: set[Need] = {"input", "reals"}
    found.update(["truth"] if aligned else [], ["alike"] if alike else [], ["back"] if back else [])
    return found


def list_scores(metrics: Iterable[Metric], available: set[Need]) -> list[str]:
    """Return the names of the metrics for which there is what they need."""
    return [metric.name for metric in metrics if metric.needs <= available]


class _Measured(NamedTuple):
    """What was measured of a column: its scores, and how bad each image is by metrics that say that."""

    scores: Scores
    badness: dict[str, Tensor]


class _Judge:
    """Measures columns against the real test images of B, which are described once."""

    def __init__(
        self,
        data: EvaluationData,
        metrics: Sequence[Metric],
        classifier: DomainClassifier | None,
        protocol: Protocol,
        intervals: bool,
    ) -> None:
        self.intervals = intervals
        self.data, self.metrics, self.classifier, self.protocol = data, metrics, classifier, protocol
        self.always: set[Need] = {"classifier"} if classifier else set()
        self.always.update(["rgb"] if data.channels["b"] in RGB else [])
        needing = [metric for metric in metrics if "reals" in metric.needs and self._can(metric)]
        known = {metric.name: rows for metric in needing if (rows := self._recall(metric)) is not None}
        batches = (Batch(images, classifier=classifier) for images in data.read("b", data.real_paths))
        others = [metric for metric in needing if metric.name not in known]
        describers = {metric.name: metric.describe_reals for metric in others}
        self.reals = known | _describe(batches, len(data.real_paths), describers)
        for metric in others:
            if about := self._say_what(metric):
                keep_rows(about, self.reals[metric.name])

    def measure(self, source: Source) -> _Measured:
        """Return the scores of outputs, by what is known of them."""
        if source.make is None:
            return self.measure_set(source.images, {"reals"})
        found = find_available(self.data.aligned, self.data.alike, source.back is not None)
        return self._score(self._translate(source), len(self.data.test["a"]) * self.protocol.samples, found)

    def measure_set(self, paths: Sequence[Path], available: set[Need]) -> _Measured:
        """Return the scores of images of B, real or not."""
        batches = (Batch(images, classifier=self.classifier) for images in self.data.read("b", paths))
        return self._score(batches, len(paths), available)

    def _translate(self, source: Source) -> Iterator[Batch]:
        for chunk, truths in self.data.chunks(self.protocol.samples):
            assert source.make is not None
            outputs = source.make(chunk).to(chunk.inputs.device)
            if self.protocol.files:
                outputs = normalise(to_pixels(outputs))
            yield Batch(outputs, chunk.inputs, truths, source.back, self.classifier)

    def _recall(self, metric: Metric) -> Tensor | None:
        """Return a metric's rows of the real images where an earlier evaluation has kept them."""
        return recall_rows(about) if (about := self._say_what(metric)) else None

    def _say_what(self, metric: Metric) -> dict[str, object]:
        """Return all that rows of real images depend on; nothing where they are not kept."""
        network = metric.describe_network()
        if not (network and self.data.prepared):
            return {}
        return {
            "images": self.data.reals_hash,
            "prepared": self.data.prepared,
            "metric": metric.name,
            "network": network,
        }

    def _can(self, metric: Metric) -> bool:
        return metric.needs & {"classifier", "rgb"} <= self.always

    def _score(self, batches: Iterable[Batch], total: int, available: set[Need]) -> _Measured:
        fitting = {metric.name: metric for metric in self.metrics if metric.needs <= available | self.always}
        rows = _describe(batches, total, {name: metric.describe for name, metric in fitting.items()})
        none = torch.empty(0)
        scores = {
            name: metric.score(rows[name], self.reals.get(name, none), self.intervals)
            for name, metric in fitting.items()
        }
        badness = {name: metric.rate(rows[name]) for name, metric in fitting.items()}
        return _Measured(scores, {name: rated for name, rated in badness.items() if rated is not None})


def _describe(
    batches: Iterable[Batch], total: int, describers: Mapping[str, Callable[[Batch], Tensor]]
) -> dict[str, Tensor]:
    """Return the rows of all batches, of so many images in all, by metric, looking at each batch once."""
    rows: dict[str, list[Tensor]] = {name: [] for name in describers}
    first = 0
    if describers:
        for batch in batches:
            batch.first, batch.total = first, total
            first += len(batch.outputs)
            for name, describe in describers.items():
                rows[name].append(describe(batch).cpu())
    return {name: torch.cat(found) for name, found in rows.items()}
