"""Distances by what an ensemble of random convolutional networks sees: it knows no photographs, so it suits any images.

Demystifying Randomly Initialized Networks for Evaluating Generative Models. Lee et al. 2022: random
features rank generators about as well as learnt ones. https://arxiv.org/abs/2208.09218
"""

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from diptych.metrics.kid import combine_kernels, compare_all, measure_kid, resample
from diptych.metrics.metric import Batch, Metric
from diptych.metrics.mind import measure_mind
from diptych.metrics.sliced import average_sliced

SEEDS = tuple(range(8))
_WIDTHS = (16, 32, 64, 128)  # each with half the resolution of the one before
_BIAS = 0.1  # so that flat areas look different from empty ones

_LEAST = 0.2  # of the mean deviation: an activation that real images never reach must not drown all others


class RandomFeatures:
    """Four 3×3 convolutions for each seed, for images of so many channels."""

    def __init__(self, channels: int) -> None:
        self.networks = [_draw_network(channels, seed) for seed in SEEDS]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the mean activations at four depths of N×C×H×W images in [-1, 1]: N×S×240."""
        return torch.stack([_run(network, images.float()) for network in self.networks], 1)

    def hash(self) -> str:
        """Return the SHA-256 of the weights, rounded so that another machine's last bits do not change it."""
        weights = torch.cat([tensor.flatten() for network in self.networks for layer in network for tensor in layer])
        return sha256((weights * 1000).round().short().numpy().tobytes()).hexdigest()


@cache
def get_random_features(channels: int) -> RandomFeatures:
    """Return the one ensemble for images of so many channels."""
    return RandomFeatures(channels)


class _RandomMetric(Metric):
    needs = frozenset({"reals"})
    fewest = 2

    def describe(self, batch: Batch) -> Tensor:
        return batch.look(get_random_features(batch.outputs.shape[1]))

    def describe_network(self) -> dict[str, str]:
        seeds = f"{SEEDS[0]} … {SEEDS[-1]}"
        return {"network": "random convolutions", "seeds": seeds, "sha256": get_random_features(3).hash()}


class KidRandom(_RandomMetric):
    """The kernel distance, averaged over networks, whose features are standardised by the real images'."""

    name = "kid_random"
    title = "kernel distance (random features)"

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return _average(measure_kid(*pair) for pair in _split(rows, reals))

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the deviation over other images and other networks."""
        kernels = [compare_all(*pair) for pair in _split(rows, reals)]
        within, other, between = (sum(found) / len(SEEDS) for found in zip(*kernels, strict=True))
        spread = _find_spread([combine_kernels(one) for one in kernels])
        return float((resample((within, other, between), self.resamples, random) ** 2 + spread**2) ** 0.5)


class MindRandom(_RandomMetric):
    """The sliced Wasserstein distance, averaged over networks, whose features are standardised by the real images'."""

    name = "mind_random"
    title = "MIND (random features)"
    form = "{:.3f}"

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return _average(measure_mind(*pair).value for pair in _split(rows, reals))

    def find_deviation(self, rows: Tensor, reals: Tensor, random: Generator) -> float:
        """Return the deviation over other images and other networks."""
        found = [measure_mind(*pair) for pair in _split(rows, reals)]
        spread = _find_spread([one.value for one in found])
        return float((average_sliced(found).deviation ** 2 + spread**2) ** 0.5)


def _draw_network(channels: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return weights and biases: He et al. 2015, equation 10; half of the first filters do not see what is flat."""
    random = Generator().manual_seed(seed)
    layers = []
    for inner, outer in zip((channels, *_WIDTHS), _WIDTHS, strict=False):
        weight = torch.randn(outer, inner, 3, 3, generator=random) * (2 / (9 * inner)) ** 0.5
        layers.append((weight, _BIAS * torch.randn(outer, generator=random)))
    first = layers[0][0][::2]
    first -= first.mean((2, 3), keepdim=True)
    return layers


def _run(network: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    found = []
    for weight, bias in network:
        x = F.relu(F.conv2d(x, weight.to(x), bias.to(x), stride=2, padding=1))
        found.append(x.mean((2, 3)))
    return torch.cat(found, 1)


def _split(rows: Tensor, reals: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the standardised features of both sets, by network."""
    mean, deviation = reals.mean(0), reals.std(0)
    deviation = torch.maximum(deviation, _LEAST * deviation.mean(1, keepdim=True)).clamp_min(1e-6)
    pairs = zip(*(((side - mean) / deviation).unbind(1) for side in (rows, reals)), strict=True)
    return list(pairs)


def _average(values: Iterable[float]) -> float:
    return sum(values) / len(SEEDS)


def _find_spread(values: Sequence[float]) -> float:
    """Return the standard error of a mean over networks."""
    return float(torch.tensor(values).std()) / len(values) ** 0.5
