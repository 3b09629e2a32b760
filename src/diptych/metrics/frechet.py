"""The Fréchet distance of two sets of features, each taken for a sample of a normal distribution.

GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium. Heusel, Ramsauer, Unterthiner,
Nessler, Hochreiter. 2017. https://arxiv.org/abs/1706.08500
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from diptych.metrics.metric import Batch, Metric


def measure_frechet(first: Tensor, second: Tensor) -> float:
    """Return |m - m'|² + tr(S + S' - 2 (S S')^½) of N×d and M×d features; NaN where either are less than two.

    With S = XᵀX and S' = YᵀY the root's trace is the sum of the singular values of X Yᵀ, which is no larger than there
    are images, and needs no root of a matrix that few images leave singular.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    x, y = first.double(), second.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    x, y = ((features - features.mean(0)) / (len(features) - 1) ** 0.5 for features in (x, y))
    root = torch.linalg.matrix_norm(_shorten(x) @ _shorten(y).T, "nuc")
    return float(shift + x.square().sum() + y.square().sum() - 2 * root)


class FrechetDistance(Metric):
    """The Fréchet distance of whatever features a subclass extracts; it depends on how many images there are."""

    form = "{:.2f}"
    needs = frozenset({"reals"})
    fewest = 2
    resamples = 20  # the root is slow, and an interval need not be exact

    @abstractmethod
    def describe(self, batch: Batch) -> Tensor:
        """Return the features, N×d."""

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return measure_frechet(rows, reals)


def _shorten(features: Tensor) -> Tensor:
    """Return at most d rows with the same XᵀX."""
    return torch.linalg.qr(features, mode="r").R if len(features) > features.shape[1] else features
