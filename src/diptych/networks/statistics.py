"""Styles as the statistics of features, and what else networks do with codes.

Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization. Xun Huang, Serge Belongie. ICCV 2017.
https://arxiv.org/abs/1703.06868
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_SMALLEST_EIGENVALUE = 1e-12  # what is below this is rounding


def measure_statistics(features: Tensor) -> Tensor:
    """Return the N×2C×1×1 code of N×C×h×w features: means, then deviations, over positions."""
    mean = features.mean((2, 3), keepdim=True)
    deviation = (features.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    return torch.cat([mean, deviation], dim=1)


def exchange_statistics(features: Tensor, code: Tensor) -> Tensor:
    """Equation 8: σ(y) · (x - μ(x)) / σ(x) + μ(y), where the code is μ(y) and σ(y)."""
    mean, deviation = measure_statistics(features).chunk(2, dim=1)
    wanted_mean, wanted_deviation = fit_code(code, features).chunk(2, dim=1)
    return wanted_deviation * (features - mean) / deviation + wanted_mean


def fit_code(code: Tensor, features: Tensor) -> Tensor:
    """Return a code that differs from place to place at the features' size; N×K×1×1 stays as it is."""
    if max(code.shape[-2:]) == 1:
        return code
    return interpolate(code, size=features.shape[-2:], mode="bilinear", antialias=True, align_corners=False)


def raise_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of …×C×C symmetric positive matrices, such as covariances."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(_SMALLEST_EIGENVALUE)[..., None, :] ** power) @ vectors.mT
