"""The formulas of the field's metrics, against the libraries' own functions."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from diptych.metrics.frechet import measure_frechet
from diptych.metrics.registry import list_metrics


def draw(count: int, size: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) + shift


def make(name: str, **arguments: Any) -> Any:
    return list_metrics()[name](**arguments)


@pytest.mark.parametrize(("first", "second"), [(12, 9), (12, 90), (300, 200)])
def test_frechet_against_torch_fidelity_and_scipy(first: int, second: int) -> None:
    """Of fewer and of more images than there are features, which are correlated."""
    mixing = draw(24, 24, 9)
    x, y = draw(first, 24, 0).double() @ mixing.double(), draw(second, 24, 1, 0.3).double() @ mixing.double()
    statistics = [fid_features_to_statistics(features) for features in (x, y)]
    found = measure_frechet(x, y)
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert found == pytest.approx(theirs, rel=1e-5)
    root = sqrtm(statistics[0]["sigma"] @ statistics[1]["sigma"]).real
    shift = np.square(statistics[0]["mu"] - statistics[1]["mu"]).sum()
    traces = sum(np.trace(part["sigma"]) for part in statistics)
    assert found == pytest.approx(shift + traces - 2 * np.trace(root), rel=1e-4)
    assert measure_frechet(x, x.flip(0)) == pytest.approx(0, abs=1e-8 * traces)
    assert math.isnan(measure_frechet(x[:1], y))


def test_kid_against_torch_fidelity() -> None:
    x, y = draw(50, 16, 0), draw(50, 16, 1, 0.5)
    theirs = kid_features_to_metric(x.double(), y.double(), kid_subsets=1, kid_subset_size=50, verbose=False)
    assert make("kid").compare(x, y) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)


def test_precision_and_recall_against_torch_fidelity() -> None:
    outputs, reals = draw(60, 6, 0), draw(45, 6, 1, 0.7)
    theirs = prc_features_to_metric(outputs, reals, verbose=False)
    for name in ("precision", "recall"):
        assert make(name).compare(outputs, reals) == pytest.approx(theirs[name], abs=1e-6)
        assert 0 < theirs[name] < 1
    assert theirs["precision"] != theirs["recall"]


def test_density_and_coverage_against_their_definitions() -> None:
    outputs, reals, k = draw(30, 4, 0), draw(25, 4, 1, 0.5), 5
    radii = [sorted(float((real - other).norm()) for other in reals)[k] for real in reals]
    inside = [
        [float((real - output).norm()) <= radius for output in outputs]
        for real, radius in zip(reals, radii, strict=True)
    ]
    assert make("density").compare(outputs, reals) == pytest.approx(sum(map(sum, inside)) / (k * 30))
    assert make("coverage").compare(outputs, reals) == pytest.approx(sum(map(any, inside)) / 25)
    assert math.isnan(make("density").score(outputs[:5], reals).value)
    assert math.isnan(make("coverage").score(outputs, reals[:5]).deviation)


@pytest.mark.parametrize("name", ["fid", "kid", "precision", "recall", "density", "coverage", "dino_fd", "clip_mmd"])
def test_the_deviation_is_that_of_other_draws(name: str) -> None:
    """Roughly, and rather too large: what a distance's interval is for is not to be believed too soon."""
    metric = make(name)
    sets = [(draw(80, 8, 2 * seed, 0.5), draw(80, 8, 2 * seed + 1)) for seed in range(60)]
    values = torch.tensor([metric.compare(*pair) for pair in sets])
    deviations = torch.tensor([metric.score(*pair).deviation for pair in sets[:8]])
    assert 0.7 < float(deviations.mean() / values.std()) < 2


def test_the_discrepancy_against_torch_fidelity_and_its_definition() -> None:
    """Without comparing images with themselves it is the unbiased one, which torch-fidelity has."""
    x, y = (F.normalize(draw(40, 12, seed, seed).double()) for seed in (0, 1))

    def kernel(one: Tensor, other: Tensor) -> float:
        return math.exp(-float((one - other).square().sum()) / 200)

    means = [sum(kernel(a, b) for a in one for b in other) / 1600 for one, other in ((x, x), (y, y), (x, y))]
    found = make("clip_mmd").compare(x, y)
    assert found == pytest.approx(1000 * (means[0] + means[1] - 2 * means[2]), rel=1e-6)
    settings = {"kid_kernel": "rbf", "kid_kernel_rbf_sigma": 10.0, "kid_subsets": 1, "kid_subset_size": 40}
    theirs = kid_features_to_metric(x, y, verbose=False, **settings)["kernel_inception_distance_mean"]
    bias = sum((1 - mean) / 39 for mean in means[:2])
    assert found == pytest.approx(1000 * (theirs + bias), rel=1e-6)
    assert make("clip_mmd").compare(x, x.flip(0)) == pytest.approx(0, abs=1e-9)
