"""The kernel distance between two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs", section 3).

The unbiased estimate of the squared maximum mean discrepancy under the kernel (x·y / d + 1)³: unlike the Fréchet
distance it does not depend on how many samples there are, so that 150 images are enough.
https://arxiv.org/abs/1801.01401
"""

from abc import abstractmethod
from functools import partial

import torch
from torch import Generator, Tensor

from diptych.metrics.bootstrap import resample_weights
from diptych.metrics.metric import Batch, Metric

Kernels = tuple[Tensor, Tensor, Tensor]


def measure_kid(first: Tensor, second: Tensor) -> float:
    """Return the distance of M×d and N×d features: about 0 for alike sets, or a little below."""
    return combine_kernels(compare_all(first, second))


class KernelDistance(Metric):
    """KID on whatever features a subclass extracts."""

    fewest = 2
    needs = frozenset({"reals"})
    form = "{:.4f}"

    @abstractmethod
    def describe(self, batch: Batch) -> Tensor:
        """Return the features, N×d."""

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return measure_kid(rows, reals)

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the bootstrap's deviation."""
        return resample(compare_all(rows, reals), self.resamples, random)


def combine_kernels(kernels: Kernels) -> float:
    """Return the distance of sets of which the kernel's values are known."""
    return float(_combine(*kernels, *(torch.ones(count, dtype=torch.float64) for count in kernels[2].shape)))


def resample(kernels: Kernels, times: int, random: Generator) -> float:
    """Return the bootstrap's deviation, which weighs the kernel's values instead of computing them again."""
    return resample_weights(partial(_combine, *kernels), kernels[2].shape, times, random)


def compare_all(first: Tensor, second: Tensor) -> Kernels:
    """Return the kernel's values within the sets, without those of a sample and itself, and between them."""
    x, y = first.double(), second.double()
    return _compare(x, x).fill_diagonal_(0), _compare(y, y).fill_diagonal_(0), _compare(x, y)


def _compare(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _combine(within: Tensor, other: Tensor, between: Tensor, weights: Tensor, others: Tensor) -> Tensor:
    """Return the estimate in which each sample counts as often as its weight says."""
    return (
        _average_pairs(within, weights)
        + _average_pairs(other, others)
        - 2 * (weights @ between @ others) / (weights.sum() * others.sum())
    )


def _average_pairs(kernel: Tensor, weights: Tensor) -> Tensor:
    return weights @ kernel @ weights / (weights.sum().square() - weights.square().sum()).clamp_min(1)
