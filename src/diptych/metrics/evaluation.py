"""What translators score, each number beside those of the input, a blurred input and real images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.images import normalise, to_pixels
from diptych.metrics.domain_classifier import DomainClassifier
from diptych.metrics.evaluation_data import EvaluationData, Source, spread
from diptych.metrics.faults import blur
from diptych.metrics.metric import RGB, Batch, Metric, Need, Score
from diptych.metrics.protocol import PROTOCOLS, Protocol
from diptych.metrics.statistics import hash_files, keep_rows, recall_rows

Scores = dict[str, Score]

TRANSLATED = "output"
"""The column of a single translator; those of several are named by them."""


@dataclass(frozen=True)
class Evaluation:
    """Scores by column and metric: of translators, and to read them beside, of no method at all and of real images."""

    columns: dict[str, Scores]
    metrics: Sequence[Metric]
    classifier: DomainClassifier | None
    images: int
    names: Mapping[str, str]
    reals: Sequence[Path] = ()
    protocol: Protocol = PROTOCOLS["default"]
    badness: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """How bad each output is, N, by column and metric, where a metric says something of single images."""


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
    columns, badness = {}, {}
    for title, source in sources.items():
        columns[title], badness[title] = judge.measure(source), judge.badness
    if anchors:
        if data.alike:
            columns["copying"] = judge.measure(Source(lambda chunk: chunk.inputs))
            columns["blurring"] = judge.measure(Source(lambda chunk: blur(chunk.inputs)))
        if data.train.get("b"):  # nobody is expected to pass it
            columns["real_train_b"] = judge.measure_set(spread(data.train["b"]), {"reals"})
        columns["real_test_b"] = judge.measure_set(data.test["b"], set())
    count = len(data.test["a"])
    return Evaluation(columns, metrics, classifier, count, data.names, data.real_paths, protocol, badness)


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
        self.badness: dict[str, Tensor] = {}
        known = {metric.name: rows for metric in needing if (rows := self._recall(metric)) is not None}
        batches = (Batch(images, classifier=classifier) for images in data.read("b", data.real_paths))
        others = [metric for metric in needing if metric.name not in known]
        describers = {metric.name: metric.describe_reals for metric in others}
        self.reals = known | _describe(batches, len(data.real_paths), describers)
        for metric in others:
            if about := self._say_what(metric):
                keep_rows(about, self.reals[metric.name])

    def measure(self, source: Source) -> Scores:
        """Return the scores of outputs, by what is known of them."""
        if source.make is None:
            return self.measure_set(source.images, {"reals"})
        found = find_available(self.data.aligned, self.data.alike, source.back is not None)
        return self._score(self._translate(source), len(self.data.test["a"]) * self.protocol.samples, found)

    def measure_set(self, paths: Sequence[Path], available: set[Need]) -> Scores:
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
        images = hash_files(self.data.real_paths)
        return {"images": images, "prepared": self.data.prepared, "metric": metric.name, "network": network}

    def _can(self, metric: Metric) -> bool:
        return metric.needs & {"classifier", "rgb"} <= self.always

    def _score(self, batches: Iterable[Batch], total: int, available: set[Need]) -> Scores:
        fitting = {metric.name: metric for metric in self.metrics if metric.needs <= available | self.always}
        rows = _describe(batches, total, {name: metric.describe for name, metric in fitting.items()})
        none = torch.empty(0)
        found = {name: metric.rate(rows[name]) for name, metric in fitting.items()}
        self.badness = {name: rated for name, rated in found.items() if rated is not None}
        return {
            name: metric.score(rows[name], self.reals.get(name, none), self.intervals)
            for name, metric in fitting.items()
        }


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
