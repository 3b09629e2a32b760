"""Metrics: known distances, the copying baseline, and a classifier that tells domains apart."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from diptych.data import Preparation, list_images
from diptych.errors import DataError, UserError
from diptych.metrics import (
    TRANSLATED,
    Batch,
    DomainClassifier,
    Evaluation,
    EvaluationData,
    Metric,
    Score,
    Source,
    evaluate,
    make_table,
    train_classifier,
)
from diptych.metrics.faults import blur
from diptych.metrics.kid import measure_kid
from diptych.metrics.metric import METRICS
from diptych.metrics.record import make_record
from diptych.metrics.registry import list_metrics, make_metrics
from diptych.networks import build
from diptych.networks.initialisation import initialise

DATA = Path(__file__).parent.parent / "data" / "flat2fluent"
PREPARATION = Preparation(64, 64)


def load(domain: str, paths: Sequence[Path]) -> Tensor:
    return torch.stack([PREPARATION.load_for_test(path) for path in paths])


def read(folder: str, step: int = 1) -> Tensor:
    return load("a", list_images(DATA / folder)[::step])


def measure(name: str, outputs: Tensor, reals: Tensor | None = None, **beside: Tensor) -> Score:
    """Return a metric's score of outputs against real images; `beside` are inputs or truths."""
    (metric,) = make_metrics([name])
    rows = metric.describe(Batch(outputs, **beside))
    return metric.score(rows, torch.empty(0) if reals is None else metric.describe_reals(Batch(reals)))


def test_distances_to_the_truth_against_their_definitions() -> None:
    truth = torch.zeros(2, 3, 16, 16)
    output = truth + torch.tensor([0.2, 0.02]).reshape(2, 1, 1, 1)  # 0.1 and 0.01 of the range 0…1
    assert measure("psnr", output, truths=truth).value == pytest.approx((20 + 40) / 2, abs=1e-3)
    assert measure("l1", output, truths=truth).value == pytest.approx(0.055, abs=1e-5)
    assert measure("ssim", truth, truths=truth).value == pytest.approx(1, abs=1e-6)


def test_an_interval_is_that_of_a_mean() -> None:
    truth, noise = torch.zeros(400, 1, 16, 16), torch.rand(400, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    score = measure("l1", truth + noise, truths=truth)
    margin = 1.96 * float((noise / 2).std()) / 20
    assert score.interval == pytest.approx((score.value - margin, score.value + margin), abs=1e-4)
    assert measure("l1", truth[:1], truths=truth[:1]).deviation != 0  # one image says nothing of others: NaN


def test_a_bootstrap_finds_what_other_sets_would_give() -> None:
    """Of 40 pairs of sets the values vary as one pair's bootstrap says."""
    random = torch.Generator().manual_seed(0)
    (metric,) = make_metrics(["saturation"])
    sets = [(torch.rand(2, 60, generator=random) < 0.3).float() for _ in range(40)]
    values = torch.tensor([metric.compare(*pair) for pair in sets])
    assert metric.score(*sets[0]).deviation == pytest.approx(float(values.std()), rel=0.35)


def test_sliced_wasserstein_is_a_distance_of_sets() -> None:
    flat, fluent = read("testA", 3), read("testB", 3)
    same = measure("swd", fluent, fluent.flip(0)).value
    apart = measure("swd", flat, fluent).value
    assert same < 0.3 * apart
    blurred = torch.nn.functional.avg_pool2d(fluent, 5, 1, 2)
    assert measure("swd", blurred, fluent).value > apart
    assert measure("swd", flat, fluent).value == apart
    assert measure("swd", torch.rand(2, 3, 5, 5), torch.rand(3, 3, 5, 5)).value > 0


def test_kid_against_its_definition() -> None:
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64) + 1

    def kernel(one: Tensor, other: Tensor) -> float:
        return float(one @ other / 3 + 1) ** 3

    within = sum(kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    other = sum(kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    between = sum(kernel(a, b) for a in x for b in y) / 20
    assert measure_kid(x, y) == pytest.approx(within + other - 2 * between)


def test_kid_does_not_depend_on_the_number_of_samples() -> None:
    torch.manual_seed(0)
    means = [
        sum(measure_kid(torch.randn(count, 8), torch.randn(1000, 8)) for _ in range(40)) / 40 for count in (20, 200)
    ]
    assert max(map(abs, means)) < 0.02
    assert measure_kid(torch.randn(100, 8) + 1, torch.randn(1000, 8)) > 1


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
    trained = shipped.train_classifier()
    assert trained is not None
    assert torch.equal(torch.get_rng_state(), state)
    return trained


@pytest.mark.slow
def test_the_classifier_tells_flat_from_rendered(shipped: EvaluationData, classifier: DomainClassifier) -> None:
    test = {domain: load(domain, paths) for domain, paths in shipped.test.items()}
    assert classifier.accuracy > 0.9
    assert share_of_b(classifier, test["b"]) > 0.85
    assert share_of_b(classifier, test["a"]) < 0.15
    judged = classifier.judge(test["a"])
    answers = classifier.is_b(judged), classifier.swap().is_b(judged), classifier.is_neither(judged)
    shares = [float(answer.float().mean()) for answer in answers]
    assert shares[1] > 0.85
    assert sum(shares) == pytest.approx(1)
    assert torch.equal(classifier.swap().is_neither(judged), classifier.is_neither(judged))


def share_of_b(classifier: DomainClassifier, images: Tensor) -> float:
    return float(classifier.is_b(classifier.judge(images)).float().mean())


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
    shares = {name: share_of_b(classifier, images) for name, images in mush.items()}
    assert max(shares.values()) < 0.2, shares
    assert share_of_b(classifier, fluent) > 0.8


def test_the_classifier_is_a_function_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.metrics.domain_classifier._STEPS", 3)
    sets = {"a": read("trainA", 100), "b": read("trainB", 100)}
    features = [train_classifier(sets, sets, seed).describe(sets["a"]) for seed in (0, 0, 1)]
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])


def values(scores: dict[str, Score]) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}


COPY = Source(lambda chunk: chunk.inputs)
MEASURED = ["psnr", "ssim", "copying", "swd", "kid_classifier", "classified_b", "classified_neither"]


@pytest.mark.slow
def test_copying_scores_as_copying(shipped: EvaluationData, classifier: DomainClassifier) -> None:
    result = evaluate({TRANSLATED: COPY}, shipped, make_metrics(MEASURED), classifier)
    columns = {title: values(scores) for title, scores in result.columns.items()}
    copying, blurring = columns["copying"], columns["blurring"]
    assert columns[TRANSLATED] == pytest.approx(copying)
    assert blurring["psnr"] < copying["psnr"]
    assert blurring["classified_b"] < 0.2
    assert blurring["classified_neither"] > 0.8
    assert columns["real_test_b"]["classified_b"] > 0.8
    assert "kid_classifier" not in columns["real_test_b"]
    assert copying["copying"] == 1
    assert result.images == len(shipped.test["a"])
    assert columns["real_train_b"]["swd"] < copying["swd"]
    assert columns["real_train_b"]["kid_classifier"] < 0.1 * copying["kid_classifier"]
    assert copying["psnr"] == pytest.approx(19.41, abs=0.3)
    paths = {"a": shipped.test["b"], "b": shipped.test["b"]}
    perfect = evaluate({TRANSLATED: COPY}, EvaluationData({}, paths, load), make_metrics(["ssim", "swd"]))
    assert perfect.columns[TRANSLATED]["ssim"].value == pytest.approx(1, abs=1e-5)
    assert perfect.columns[TRANSLATED]["swd"].value < 0.3 * copying["swd"]


def test_unaligned_sets_have_no_truth(shipped: EvaluationData) -> None:
    data = EvaluationData({}, {"a": shipped.test["a"][:4], "b": shipped.test["b"][4:10]}, load, batch_size=3)
    fade = Source(lambda chunk: chunk.inputs * 0.5)
    result = evaluate({TRANSLATED: fade}, data, make_metrics(MEASURED))
    assert set(result.columns[TRANSLATED]) == {"copying", "swd"}
    assert result.columns[TRANSLATED]["copying"].value < 0.9
    assert result.columns[TRANSLATED]["copying"].images == 4
    assert result.classifier is None
    assert "PSNR" not in str(list(make_table(result, "x").columns[0].cells))


def test_each_metric_looks_at_every_image_once(shipped: EvaluationData) -> None:
    """Whatever the size of batches, sources see the same images, beside their truths, and metrics give the same."""
    found = []
    for size in (1, 4, 64):
        paths = {domain: files[:9] for domain, files in shipped.test.items()}
        data = EvaluationData({}, paths, load, batch_size=size)
        result = evaluate({"one": COPY, "two": Source(lambda chunk: chunk.references)}, data, make_metrics(["psnr"]))
        found.append({title: scores["psnr"].value for title, scores in result.columns.items() if scores})
    assert found[1:] == [pytest.approx(found[0]), pytest.approx(found[0])]
    assert found[0]["two"] < found[0]["one"]  # references are never the truth itself


def test_the_share_stands_beside_references_under_the_domains_names() -> None:
    scores = {"swd": Score(0.1, 0.0, 9), "classified_b": Score(0.914, 0.0, 9)}
    columns = {TRANSLATED: scores, "copying": scores, "blurring": {"classified_b": Score(0.023, 0.01, 9)}}
    columns["real_test_b"] = {"classified_b": Score(0.953, 0.0, 9)}
    classifier = DomainClassifier(torch.nn.Identity(), 0.96)
    metrics = make_metrics(["psnr", "swd", "classified_b"])
    data = EvaluationData({}, {"a": [DATA] * 9, "b": []}, load, {"a": "night", "b": "day[/b]"})
    result = Evaluation(columns, metrics, classifier, data)
    console = Console(width=80, record=True)
    console.print(make_table(result, "night → day[/b]"))
    text = console.export_text()
    row = next(line for line in text.splitlines() if "classified as day[/b]" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == ["91.4%", "91.4%", "2.3%", "95.3%"]
    assert "no measure of quality" in " ".join(text.split())
    plain = make_record(result)["columns"]
    assert isinstance(plain, dict)
    assert plain["blurring"]["classified_b"] == pytest.approx(
        {"value": 0.023, "low": 0.0034, "high": 0.0426, "images": 9}
    )


def test_evaluation_without_test_images_is_refused() -> None:
    with pytest.raises(DataError, match="no test images of domain A"):
        evaluate({TRANSLATED: COPY}, EvaluationData({}, {"a": [], "b": []}, load), [])


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(UserError, match=r"no metric sdw \(did you mean 'swd'\?\); there are .*copying"):
        make_metrics(["psnr", "sdw"])


@pytest.mark.parametrize("name", list_metrics())
def test_every_metric_has_a_choice_of_its_name(name: str) -> None:
    lines = (DATA.parents[1] / "conf" / "metric" / f"{name}.yaml").read_text().splitlines()
    kind = list_metrics()[name]
    assert lines[0] == f"# @package metric.{name}"
    assert lines[1].startswith(f"# metric=[{name}]: ")
    assert lines[2] == f"_target_: {kind.__module__}.{kind.__name__}"


def test_a_metric_of_another_package_is_known_by_its_name() -> None:
    class Brightness(Metric):
        name = "brightness"
        title = "brightness"

        def describe(self, batch: Batch) -> Tensor:
            return batch.outputs.mean((1, 2, 3))

        def compare(self, rows: Tensor, reals: Tensor) -> float:
            return float(rows.mean())

    try:
        assert measure("brightness", torch.ones(5, 3, 4, 4)) == Score(1.0, 0.0, 5)
    finally:
        del METRICS["brightness"]
