"""The sliced Wasserstein distance of two sets of features, in place of the Fréchet distance's normal distributions.

MIND: Monge Inception Distance for Generative Models Evaluation. Berthet, Wu, Crepy, Elie, Greff, Sander. 2026.
https://arxiv.org/abs/2605.06797
"""

from abc import abstractmethod

from torch import Generator, Tensor

from diptych.metrics.metric import Batch, Metric
from diptych.metrics.sliced import Sliced, draw_directions, measure_sliced

_DIRECTIONS = 256


def measure_mind(first: Tensor, second: Tensor) -> Sliced:
    """Return the squared distance of N×d and M×d features, averaged over directions, times d.

    Times d a shift of the mean counts as in the Fréchet distance: by its squared length.
    """
    dimensions = first.shape[1]
    found = measure_sliced(first.float(), second.float(), draw_directions(dimensions, _DIRECTIONS), order=2)
    return Sliced(found.value * dimensions, found.first * dimensions, found.second * dimensions)


class MindDistance(Metric):
    """MIND on whatever features a subclass extracts."""

    needs = frozenset({"reals"})
    fewest = 2
    form = "{:.3f}"

    @abstractmethod
    def describe(self, batch: Batch) -> Tensor:
        """Return the features, N×d."""

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return measure_mind(rows, reals).value

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        return measure_mind(rows, reals).deviation
