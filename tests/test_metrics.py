"""Metrics: known distances, the copying baseline, and a classifier that tells domains apart."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from diptych.data import Preparation, list_images
from diptych.errors import DataError
from diptych.metrics import (
    DomainClassifier,
    Evaluation,
    EvaluationData,
    compare,
    evaluate,
    kid,
    sliced_wasserstein,
    train_classifier,
)
from diptych.metrics.faults import blur
from diptych.networks import build
from diptych.networks.initialisation import initialise

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
    shares = (
        classifier.share_of_b(test["a"]),
        classifier.swap().share_of_b(test["a"]),
        classifier.share_of_neither(test["a"]),
    )
    assert shares[1] > 0.85
    assert sum(shares) == pytest.approx(1)
    assert classifier.swap().share_of_neither(test["a"]) == shares[2]


def draw_blobs(colour: Sequence[float], random: torch.Generator) -> Tensor:
    """Return 50 soft blobs of one colour on white."""
    heights = F.interpolate(torch.rand(50, 1, 4, 4, generator=random), size=(64, 64), mode="bicubic")
    return torch.ones(50, 3, 64, 64).lerp(torch.tensor(colour).reshape(1, 3, 1, 1), torch.sigmoid(20 * (heights - 0.5)))


def untrained(images: Tensor, seed: int) -> Tensor:
    """Return what a generator makes of images after its initialisation."""
    torch.manual_seed(seed)
    network = build("ResnetGenerator", width=16, blocks=4)
    initialise(network)
    with torch.no_grad():
        return network(images)


@pytest.mark.slow
@pytest.mark.reliability
def test_what_nobody_can_recognise_is_neither(classifier: DomainClassifier) -> None:
    """Before there was a third class, blurred drawings were called rendered in 85 of 100 cases."""
    random, flat, fluent = torch.Generator().manual_seed(0), read("testA", 3), read("testB", 3)
    mush = {
        "blurred flat": blur(flat),
        "blurred fluent": blur(fluent),
        "orange blobs": draw_blobs((1.0, 0.3, -0.8), random),
        "orange blobs in grey": 0.6 * draw_blobs((1.0, 0.3, -0.8), random),
        "noise": torch.rand(fluent.shape, generator=random) * 2 - 1,
        "noisy fluent": (fluent + 0.3 * torch.randn(fluent.shape, generator=random)).clamp(-1, 1),
        "orange fluent": fluent.lerp(torch.tensor([1.0, 0.2, -0.8]).reshape(1, 3, 1, 1), 0.5),
        "all fluent at once": fluent.mean(0, keepdim=True),
        **{f"untrained {seed}": untrained(flat, seed) for seed in range(3)},
    }
    shares = {name: classifier.share_of_b(images) for name, images in mush.items()}
    assert max(shares.values()) < 0.2, shares
    assert classifier.share_of_b(fluent) > 0.8


def test_the_classifier_is_a_function_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.metrics.domain_classifier._STEPS", 3)
    sets = {"a": read("trainA", 100), "b": read("trainB", 100)}
    features = [train_classifier(sets, sets, seed).describe(sets["a"]) for seed in (0, 0, 1)]
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])


@pytest.mark.slow
def test_copying_scores_as_copying(shipped: EvaluationData, classifier: DomainClassifier) -> None:
    result = evaluate(lambda images, styles: images, shipped, classifier=classifier)
    assert result.translator == pytest.approx(result.copying)
    assert result.blurring["psnr"] < result.copying["psnr"]
    assert result.blurring["classified_b"] < 0.2
    assert result.blurring["classified_neither"] > 0.8
    assert result.real_test["classified_b"] > 0.8
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


def test_the_share_stands_beside_references_under_the_domains_names() -> None:
    scores = {"swd": 0.1, "kid": 0.2, "classified_b": 0.914, "classified_neither": 0.05}
    shares = {"classified_b": 0.953, "classified_neither": 0.0}
    classifier = DomainClassifier(torch.nn.Identity(), 0.96)
    blurring = scores | {"classified_b": 0.023}
    result = Evaluation(scores, scores, blurring, scores, shares, classifier, 9, {"a": "night", "b": "day[/b]"})
    console = Console(width=80, record=True)
    console.print(result.to_table("night → day[/b]"))
    text = console.export_text()
    row = next(line for line in text.splitlines() if "classified as day[/b]" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == ["91.4%", "91.4%", "2.3%", "91.4%", "95.3%"]
    assert "no measure of quality" in " ".join(text.split())
    assert result.to_dict()["blurring"] == blurring
    assert result.to_dict()["real_test_b"] == shares


def test_evaluation_without_test_images_is_refused() -> None:
    with pytest.raises(DataError, match="no test images of domain A"):
        evaluate(lambda images, styles: images, EvaluationData({}, {"a": [], "b": []}, load))
