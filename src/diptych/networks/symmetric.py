"""Powers of covariances: what whitens colours or features, and gives them others'."""

import torch
from torch import Tensor

_LEAST = 1e-12  # eigenvalues below this are rounding


def raise_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of …×C×C symmetric positive matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(_LEAST)[..., None, :] ** power) @ vectors.mT
