"""The maximum mean discrepancy of CLIP's embeddings under a Gaussian kernel, called CMMD.

Rethinking FID: Towards a Better Evaluation Metric for Image Generation. Jayasumana, Ramalingam, Veit, Glasner,
Chakrabarti, Kumar. 2024. https://arxiv.org/abs/2401.09603
"""

from functools import partial

import torch
from torch import Generator, Tensor

from diptych.metrics.bootstrap import resample_weights
from diptych.metrics.extractor import FeatureMetric
from diptych.metrics.kid import Kernels
from diptych.metrics.network import get_network
from diptych.metrics.transformer import CLIP

_SIGMA, _SCALE = 10, 1000  # the paper's bandwidth, and the factor by which it makes numbers readable


def measure_mmd(first: Tensor, second: Tensor) -> float:
    """Return 1000 times the squared discrepancy of N×d and M×d features: 0 for equal sets, larger for small alike ones.

    The estimate of smallest variance, as in the paper's code: an image is also compared with itself.
    """
    kernels = _compare_all(first, second)
    return float(_combine(*kernels, *(torch.ones(len(part), dtype=torch.float64) for part in (first, second))))


class CLIPDiscrepancy(FeatureMetric):
    """To real images of B."""

    name = "clip_mmd"
    title = "CMMD (CLIP)"
    form = "{:.3f}"
    needs = frozenset({"reals"})
    fewest = 2

    @property
    def extractor(self) -> CLIP:
        return get_network(CLIP, self.weights)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return measure_mmd(rows, reals)

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the bootstrap's deviation, which weighs the kernel's values instead of computing them again."""
        kernels = _compare_all(rows, reals)
        return resample_weights(partial(_combine, *kernels), kernels[2].shape, self.resamples, random)


def _compare_all(first: Tensor, second: Tensor) -> Kernels:
    """Return the kernel's values within the sets and between them."""
    x, y = first.double(), second.double()
    return _compare(x, x), _compare(y, y), _compare(x, y)


def _compare(x: Tensor, y: Tensor) -> Tensor:
    return torch.exp(-torch.cdist(x, y).square() / (2 * _SIGMA**2))


def _combine(within: Tensor, other: Tensor, between: Tensor, weights: Tensor, others: Tensor) -> Tensor:
    """Return the estimate in which each sample counts as often as its weight says."""
    x, y = weights / weights.sum(), others / others.sum()
    return _SCALE * (x @ within @ x + y @ other @ y - 2 * (x @ between @ y))
