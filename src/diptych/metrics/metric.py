"""What a metric is: it has a name, says what it needs, and gives a number with its uncertainty."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from diptych.metrics.domain_classifier import DomainClassifier
from diptych.metrics.symptom import Symptom

Need = Literal["input", "truth", "reals", "back", "classifier", "alike", "rgb"]
"""What there must be beside outputs: their inputs, as many truths, real images of B, the other direction, a classifier
of the domains, inputs of as many channels, outputs that are grey or RGB."""

RGB = (1, 3)
"""The numbers of channels of images in which RGB can be seen."""

METRICS: dict[str, type["Metric"]] = {}
_QUANTILE = 1.96  # of the normal distribution: 95 % of it lie within so many deviations


@dataclass
class Batch:
    """Outputs, N×C×H×W in [-1, 1], and image by image what they were made from and what they should be.

    `back` translates outputs back, where there is a translator that does; `classifier` tells the domains apart. They
    are outputs number `first` and following of `total`, for whoever draws parts of them at random.
    """

    outputs: Tensor
    inputs: Tensor | None = None
    truths: Tensor | None = None
    back: Callable[[Tensor], Tensor] | None = None
    classifier: DomainClassifier | None = None
    first: int = 0
    total: int = 0
    _seen: dict[Hashable, Tensor] = field(default_factory=dict)

    def look(self, extractor: Callable[[Tensor], Tensor]) -> Tensor:
        """Return an extractor's features of the outputs, computed once however many metrics ask for them."""
        if extractor not in self._seen:
            self._seen[extractor] = extractor(self.outputs)
        return self._seen[extractor]

    def draw_places(self, places: int, each: int, whole: int) -> Tensor:
        """Return random places of each output by its number, N×P: so many of each, and at most `whole` of all.

        Which they are depends on nothing but the output's number, however the outputs are cut into batches.
        """
        count = max(1, min(each, whole // max(1, self.total)))
        numbers = range(self.first, self.first + len(self.outputs))
        drawn = [torch.randint(places, (count,), generator=Generator().manual_seed(number)) for number in numbers]
        return torch.stack(drawn)


@dataclass(frozen=True)
class Score:
    """A metric's value, the standard deviation that another draw of as many images would give it, and their number.

    `parts`: what the value is the mean of, by names, where it is of several.
    """

    value: float
    deviation: float
    images: int
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of 95 %, symmetric: resampled distances are biased, so that their quantiles miss the value."""
        margin = _QUANTILE * self.deviation
        return self.value - margin, self.value + margin


class Metric(ABC):
    """Describes each image by a row of numbers, and makes one number of the rows of all.

    A subclass with a `name` is known by it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    form: ClassVar[str] = "{:.4f}"
    """How a value is written."""
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]] = frozenset()
    fewest: ClassVar[int] = 1
    """Images without which there is no value."""
    symptom: ClassVar[Symptom | None] = None
    """What a value means that no translator should have."""
    resamples: ClassVar[int] = 100

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            METRICS[cls.name] = cls

    @abstractmethod
    def describe(self, batch: Batch) -> Tensor:
        """Return a row of numbers for each output, N×…"""

    def describe_reals(self, batch: Batch) -> Tensor:
        """Return a row of numbers for each real image of B, N×…"""
        return self.describe(batch)

    @abstractmethod
    def compare(self, rows: Tensor, reals: Tensor) -> float:
        """Return the value of the outputs' rows; those of real images are empty unless the metric needs them."""

    def describe_network(self) -> dict[str, str]:
        """Return which network is looked with, its weights' hash and its library; nothing where there is none."""
        return {}

    def measure(self, batch: Batch, reals: Tensor) -> float:
        """Return the value of few outputs, against N×C×H×W real images of B."""
        return self.compare(self.describe(batch), self.describe_reals(Batch(reals)) if "reals" in self.needs else reals)

    def rate(self, rows: Tensor) -> Tensor | None:
        """Return how bad each image is, N, if rows of single images say that."""
        return None

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the standard deviation of the value over images drawn again, with replacement (Efron 1979)."""
        values = [self.compare(_resample(rows, random), _resample(reals, random)) for _ in range(self.resamples)]
        finite = torch.tensor([value for value in values if math.isfinite(value)], dtype=torch.float64)
        return float(finite.std()) if len(finite) > 1 else math.nan

    def score(self, rows: Tensor, reals: Tensor, interval: bool = True) -> Score:
        """Return the value, and its uncertainty where an interval is wanted."""
        if len(rows) < self.fewest:
            return Score(math.nan, math.nan, len(rows))
        deviation = self.find_deviation(rows, reals, Generator().manual_seed(0)) if interval else math.nan
        return Score(self.compare(rows, reals), deviation, len(rows))


class ImageMetric(Metric):
    """A metric of single images: its value is their mean, of those images for which it is a number."""

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return float(rows.nanmean())

    def rate(self, rows: Tensor) -> Tensor:
        """Return the values, turned so that larger is worse."""
        return -rows if self.higher_is_better else rows

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the mean's standard error, which is what drawing again comes to."""
        known = rows[~rows.isnan()].double()
        return float(known.std(correction=0) / len(known) ** 0.5) if len(known) > 1 else math.nan


def _resample(rows: Tensor, random: Generator) -> Tensor:
    return rows[torch.randint(len(rows), (len(rows),), generator=random)] if len(rows) else rows
