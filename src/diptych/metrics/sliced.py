"""The sliced Wasserstein distance of two sets of points, and what each point contributes to it.

Wasserstein Barycenter and its Application to Texture Mixing. Rabin, Peyré, Delon, Bernot. 2011.
https://doi.org/10.1007/978-3-642-24785-9_37
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

_AT_ONCE = 16  # directions, so that memory stays bounded

Plan = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Sliced:
    """A distance and its derivatives by the weight of each point: potentials, N and M, of mean zero."""

    value: float
    first: Tensor
    second: Tensor

    @property
    def deviation(self) -> float:
        """The standard deviation over other draws of as many points: the infinitesimal jackknife (Efron 1982)."""
        return float(sum(side.var() / len(side) for side in (self.first, self.second)) ** 0.5)

    def average_groups(self, first: int, second: int) -> "Sliced":
        """Return the same by groups of as many points, of which there are so many in either set."""
        sides = (self.first.reshape(first, -1), self.second.reshape(second, -1))
        return Sliced(self.value, *(side.mean(1) for side in sides))


def draw_directions(dimensions: int, count: int, seed: int = 0) -> Tensor:
    """Return d×D unit vectors; those of each d are orthogonal, so that none repeats what another saw."""
    random = Generator().manual_seed(seed)
    blocks = [
        torch.linalg.qr(torch.randn(dimensions, dimensions, generator=random, dtype=torch.float64)).Q
        for _ in range(-(-count // dimensions))
    ]
    return torch.cat(blocks, 1)[:, :count].float()


def measure_sliced(first: Tensor, second: Tensor, directions: Tensor, order: int) -> Sliced:
    """Return the mean over d×D directions of the distance of N×d and M×d points, to the power of its order (1 or 2).

    Along one direction the best plan moves points in their order; sets may be of different sizes.
    """
    plan = _make_plan(len(first), len(second))
    parts = [_measure(some.T @ first.T, some.T @ second.T, plan, order) for some in directions.split(_AT_ONCE, 1)]
    value, potentials, others = (torch.stack(found).sum(0) / directions.shape[1] for found in zip(*parts, strict=True))
    return Sliced(float(value), potentials - potentials.mean(), others - others.mean())


def average_sliced(parts: list[Sliced]) -> Sliced:
    """Return the mean of distances of the same points."""
    first, second = (torch.stack([getattr(part, side) for part in parts]).mean(0) for side in ("first", "second"))
    return Sliced(sum(part.value for part in parts) / len(parts), first, second)


def _make_plan(count: int, other: int) -> Plan:
    """Return how much of which point, by rank, goes to which of the other set."""
    steps = torch.cat([torch.arange(1, count + 1) * other, torch.arange(1, other + 1) * count]).unique()
    mass = torch.diff(steps, prepend=steps.new_zeros(1)).double() / (count * other)
    return (steps - 1) // other, (steps - 1) // count, mass.float()


def _measure(first: Tensor, second: Tensor, plan: Plan, order: int) -> tuple[Tensor, ...]:
    """Return the summed distance of D×N and D×M values, and each point's summed potential."""
    ranks, others, mass = plan
    (x, place), (y, other_place) = _sort(first), _sort(second)
    difference = x.index_select(1, ranks) - y.index_select(1, others)
    slopes = mass * (difference.sign() if order == 1 else 2 * difference)
    potential, other = _integrate(x, slopes, ranks, place), _integrate(y, -slopes, others, other_place)
    return (difference.abs() ** order @ mass).sum(), potential, other


def _sort(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row in order, and where its values were; NumPy is three times as quick as torch here."""
    places = torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.gather(1, places), places


def _integrate(x: Tensor, slopes: Tensor, ranks: Tensor, places: Tensor) -> Tensor:
    """Return the potential at each point, N: the integral of the slopes, D×K, along sorted values, D×N."""
    slope = torch.zeros_like(x).index_add_(1, ranks, slopes) * x.shape[1]
    steps = (slope[:, 1:] + slope[:, :-1]) / 2 * x.diff(dim=1)
    potential = torch.cat([torch.zeros_like(x[:, :1]), steps.cumsum(1)], 1)
    potential = potential - potential.mean(1, keepdim=True)
    return torch.zeros_like(x[0]).index_add_(0, places.flatten(), potential.flatten())
