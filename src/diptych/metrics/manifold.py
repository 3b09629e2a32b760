"""How much of each of two sets lies within the other, each point's ball reaching to its k-th neighbour in its own set.

Improved Precision and Recall Metric for Assessing Generative Models. Kynkäänniemi, Karras, Laine, Lehtinen, Aila. 2019.
https://arxiv.org/abs/1904.06991
Reliable Fidelity and Diversity Metrics for Generative Models. Naeem, Oh, Uh, Choi, Yoo. 2020.
https://arxiv.org/abs/2002.09797
"""

import math
from abc import abstractmethod
from functools import partial

import torch
from torch import Generator, Tensor

from diptych.metrics.bootstrap import resample_weights
from diptych.metrics.extractor import FeatureMetric
from diptych.metrics.inception import VGG16
from diptych.metrics.network import get_network


def find_inside(points: Tensor, centres: Tensor, neighbours: int) -> Tensor:
    """Return which of P×d points lie in the ball of each of more than `neighbours` M×d centres, P×M."""
    points, centres = points.double(), centres.double()
    radii = torch.cdist(centres, centres).kthvalue(neighbours + 1).values  # the first neighbour is the point itself
    return torch.cdist(points, centres) <= radii


class ManifoldMetric(FeatureMetric):
    """A share of points and balls, one of them of outputs and the other of real images of B."""

    higher_is_better = True
    needs = frozenset({"reals"})
    form = "{:.3f}"
    neighbours = 5

    @property
    def extractor(self) -> VGG16:
        return get_network(VGG16, self.weights)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        if min(len(rows), len(reals)) <= self.neighbours:
            return math.nan
        inside = self.find_inside(rows, reals).double()
        return float(self.combine(inside, *(inside.new_ones(side) for side in inside.shape)))

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the bootstrap's deviation, with the balls of all images: of images drawn twice they would be empty."""
        if min(len(rows), len(reals)) <= self.neighbours:
            return math.nan
        inside = self.find_inside(rows, reals).double()
        return resample_weights(partial(self.combine, inside), inside.shape, self.resamples, random)

    def find_inside(self, rows: Tensor, reals: Tensor) -> Tensor:
        """Return which outputs lie in the balls of which real images, N×M."""
        return find_inside(rows, reals, self.neighbours)

    @abstractmethod
    def combine(self, inside: Tensor, points: Tensor, centres: Tensor) -> Tensor:
        """Return the value where each point and each centre of P×M counts as often as its weight says."""


class Precision(ManifoldMetric):
    """The share of outputs that lie in the ball of some real image."""

    name = "precision"
    title = "precision (outputs like {b})"
    neighbours = 3

    def combine(self, inside: Tensor, points: Tensor, centres: Tensor) -> Tensor:
        return points @ (inside @ centres > 0).double() / points.sum()


class Recall(Precision):
    """The share of real images that lie in the ball of some output."""

    name = "recall"
    title = "recall ({b} reached by outputs)"

    def find_inside(self, rows: Tensor, reals: Tensor) -> Tensor:
        return find_inside(reals, rows, self.neighbours)


class Density(ManifoldMetric):
    """In how many balls of real images an output lies, over k: about one where the sets are alike."""

    name = "density"
    title = "density"

    def combine(self, inside: Tensor, points: Tensor, centres: Tensor) -> Tensor:
        return points @ inside @ centres / (self.neighbours * points.sum())


class Coverage(ManifoldMetric):
    """The share of real images in whose ball some output lies."""

    name = "coverage"
    title = "coverage"

    def combine(self, inside: Tensor, points: Tensor, centres: Tensor) -> Tensor:
        return (points @ inside > 0).double() @ centres / centres.sum()
