"""Metrics: known distances, the copying baseline, and a classifier that tells domains apart."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diptych.data import Preparation, list_images
from diptych.errors import DataError
from diptych.metrics import (
    DomainClassifier,
    EvaluationData,
    compare,
    evaluate,
    kid,
    sliced_wasserstein,
    train_classifier,
)

DATA = Path(__file__).parent.parent / "data" / "flat2fluent"
PREPARATION = Preparation(64, 64)


def load(domain: str, paths: Sequence[Path]) -> Tensor:
    return torch.stack([PREPARATION.load_for_test(path) for path in paths])


def read(folder: str, step: int = 1) -> Tensor:
    return load("a", list_images(DATA / folder)[::step])


def test_compare_against_the_definitions() -> None:
    truth = torch.zeros(2, 3, 16, 16)
    output = truth + torch.tensor([0.2, 0.02]).reshape(2, 1, 1, 1)  # 0.1 and 0.01 of the range 0…1
    scores = compare(output, truth)
    assert scores["psnr"] == pytest.approx((20 + 40) / 2, abs=1e-3)
    assert scores["l1"] == pytest.approx(0.055, abs=1e-5)
    assert compare(truth, truth)["ssim"] == pytest.approx(1, abs=1e-6)


def test_sliced_wasserstein_is_a_distance_of_sets() -> None:
    flat, fluent = read("testA", 3), read("testB", 3)
    same = sliced_wasserstein(fluent, fluent.flip(0))
    apart = sliced_wasserstein(flat, fluent)
    assert same < 0.3 * apart
    blurred = torch.nn.functional.avg_pool2d(fluent, 5, 1, 2)
    assert sliced_wasserstein(blurred, fluent) > apart
    assert sliced_wasserstein(flat, fluent) == apart
    assert sliced_wasserstein(torch.rand(2, 3, 5, 5), torch.rand(3, 3, 5, 5)) > 0


def test_kid_against_its_definition() -> None:
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64) + 1

    def kernel(one: Tensor, other: Tensor) -> float:
        return float(one @ other / 3 + 1) ** 3

    within = sum(kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    other = sum(kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    between = sum(kernel(a, b) for a in x for b in y) / 20
    assert kid(x, y) == pytest.approx(within + other - 2 * between)


def test_kid_does_not_depend_on_the_number_of_samples() -> None:
    torch.manual_seed(0)
    means = [sum(kid(torch.randn(count, 8), torch.randn(1000, 8)) for _ in range(40)) / 40 for count in (20, 200)]
    assert max(map(abs, means)) < 0.02
    assert kid(torch.randn(100, 8) + 1, torch.randn(1000, 8)) > 1


@pytest.fixture(scope="module")
def shipped() -> EvaluationData:
    return EvaluationData(
        train={domain: list_images(DATA / f"train{domain.upper()}") for domain in "ab"},
        test={domain: list_images(DATA / f"test{domain.upper()}") for domain in "ab"},
        load=load,
    )


@pytest.fixture(scope="module")
def classifier(shipped: EvaluationData) -> DomainClassifier:
    """Half a minute's work, done once."""
    state = torch.get_rng_state()
    sets = [{domain: load(domain, paths) for domain, paths in each.items()} for each in (shipped.train, shipped.test)]
    trained = train_classifier(*sets)
    assert torch.equal(torch.get_rng_state(), state)
    return trained


@pytest.mark.slow
def test_the_classifier_tells_flat_from_rendered(shipped: EvaluationData, classifier: DomainClassifier) -> None:
    test = {domain: load(domain, paths) for domain, paths in shipped.test.items()}
    assert classifier.accuracy > 0.9
    assert classifier.share_of_b(test["b"]) > 0.85
    assert classifier.share_of_b(test["a"]) < 0.15
    assert classifier.swap().share_of_b(test["a"]) == pytest.approx(1 - classifier.share_of_b(test["a"]))


@pytest.mark.slow
def test_copying_scores_as_copying(shipped: EvaluationData, classifier: DomainClassifier) -> None:
    result = evaluate(lambda images, styles: images, shipped, classifier=classifier)
    assert result.translator == pytest.approx(result.copying)
    assert result.translator["changed"] == 0
    assert result.images == len(shipped.test["a"])
    assert result.real["swd"] < result.copying["swd"]
    assert result.real["kid"] < 0.1 * result.copying["kid"]
    assert result.copying["psnr"] == pytest.approx(19.41, abs=0.3)
    perfect = evaluate(
        lambda images, styles: images, EvaluationData({}, {"a": shipped.test["b"], "b": shipped.test["b"]}, load)
    )
    assert perfect.translator["ssim"] == pytest.approx(1, abs=1e-5)
    assert perfect.translator["swd"] < 0.3 * result.copying["swd"]


def test_unaligned_sets_have_no_truth(shipped: EvaluationData) -> None:
    data = EvaluationData({}, {"a": shipped.test["a"][:4], "b": shipped.test["b"][4:10]}, load)
    result = evaluate(lambda images, styles: images * 0.5, data)
    assert "psnr" not in result.translator
    assert result.translator["changed"] > 0.1
    assert result.classifier is None
    assert "PSNR" not in [str(cell) for cell in result.to_table("x").columns[0].cells]


def test_evaluation_without_test_images_is_refused() -> None:
    with pytest.raises(DataError, match="no test images of domain A"):
        evaluate(lambda images, styles: images, EvaluationData({}, {"a": [], "b": []}, load))
