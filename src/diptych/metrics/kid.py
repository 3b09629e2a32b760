"""The kernel distance between two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs", section 3).

The unbiased estimate of the squared maximum mean discrepancy under the kernel (x·y / d + 1)³: unlike the Fréchet
distance it does not depend on how many samples there are, so that 150 images are enough.
"""

import torch
from torch import Tensor


def kid(first: Tensor, second: Tensor) -> float:
    """Return the distance of M×d and N×d features: about 0 for alike sets, or a little below."""
    x, y = first.double(), second.double()
    return float(_mean_of_pairs(x) + _mean_of_pairs(y) - 2 * _compare(x, y).mean())


def _compare(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: Tensor) -> Tensor:
    """Return the kernel's mean over pairs of two different samples."""
    similarities = _compare(x, x)
    return (similarities.sum() - torch.trace(similarities)) / max(1, len(x) * (len(x) - 1))
