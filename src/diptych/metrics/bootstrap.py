"""The bootstrap of numbers that are made of pairs: samples that are drawn again count more often, as weights say.

Bootstrap Methods: Another Look at the Jackknife. Efron. 1979. https://doi.org/10.1214/aos/1176344552
"""

from collections.abc import Callable, Iterable

import torch
from torch import Generator, Tensor


def resample_weights(
    combine: Callable[[Tensor, Tensor], Tensor | float], counts: Iterable[int], times: int, random: Generator
) -> float:
    """Return the standard deviation of what `combine` makes of the weights of both sets, of so many samples each."""
    sizes = tuple(counts)
    values = [float(combine(*(_draw_weights(count, random) for count in sizes))) for _ in range(times)]
    return float(torch.tensor(values, dtype=torch.float64).std())


def _draw_weights(count: int, random: Generator) -> Tensor:
    """Return how often each of so many samples is drawn, with replacement."""
    return torch.bincount(torch.randint(count, (count,), generator=random), minlength=count).double()
