"""Every symptom is seen where it is made, and not seen on real images."""

import csv
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_metrics import read
from test_resume import WHOLE
from test_train import load, make_overrides, run
from torch import Tensor

from diptych.callbacks import Alarms
from diptych.metrics import Batch
from diptych.metrics.registry import list_metrics, list_symptoms
from diptych.metrics.symptom import measure_auc


@pytest.fixture(scope="module")
def flat() -> Tensor:
    return read("testA", 10)


@pytest.fixture(scope="module")
def fluent() -> Tensor:
    return read("testB", 10)


SYMPTOMS = list_symptoms()


def shows(name: str, value: float) -> bool:
    return SYMPTOMS[name].shows(value)


def measure(name: str, fakes: Tensor, inputs: Tensor | None = None, reals: Tensor | None = None, **more: Any) -> float:
    return list_metrics()[name]().measure(Batch(fakes, inputs, **more), torch.empty(0) if reals is None else reals)


def test_real_translations_show_nothing(flat: Tensor, fluent: Tensor) -> None:
    """The aligned truth is what a perfect translator would make."""
    assert not shows("collapse", measure("collapse", fluent, reals=fluent.flip(0)))
    assert not shows("saturation", measure("saturation", fluent, reals=fluent.flip(0)))
    assert not shows("copying", measure("copying", fluent, flat))
    assert not shows("inversion", measure("inversion", fluent, flat))
    assert not shows("checkerboard", measure("checkerboard", fluent, reals=read("trainB", 30)))
    assert not shows("steganography", measure("steganography", fluent, flat, back=lambda images: images))
    assert 0.5 < measure("roughness", fluent, flat, read("trainB", 30)) < 1.5
    assert not shows("roughness", measure("roughness", flat, fluent, read("trainA", 30)))
    assert not shows("roughness", measure("roughness", fluent, fluent, fluent))
    assert measure("white_tint", fluent, flat, fluent) < 0.005
    assert measure("white_tint", flat, fluent, flat) < 0.005


def test_collapse_shows(fluent: Tensor) -> None:
    same = fluent[:1].expand_as(fluent) + 0.01 * torch.rand(fluent.shape, generator=torch.Generator().manual_seed(0))
    assert shows("collapse", measure("collapse", same, reals=fluent))
    with warnings.catch_warnings(action="error"):  # one style image, as Johnson's: nothing to compare with
        assert math.isnan(measure("collapse", same, reals=fluent[:1]))


def test_saturation_shows(fluent: Tensor) -> None:
    assert shows("saturation", measure("saturation", (fluent * 100 - 1).clamp(-1, 1), reals=fluent))


def test_copying_shows(flat: Tensor) -> None:
    assert shows("copying", measure("copying", flat + 0.005, flat))


def test_inversion_shows(flat: Tensor) -> None:
    assert measure("inversion", -flat, flat) == pytest.approx(1, abs=1e-3)
    assert shows("inversion", 1.0)


@pytest.mark.parametrize("period", [2, 4])
def test_checkerboard_shows(period: int, fluent: Tensor) -> None:
    tile = torch.zeros(period, period)
    tile[: period // 2, : period // 2] = tile[period // 2 :, period // 2 :] = 0.1
    board = tile.repeat(64 // period, 64 // period)
    assert shows("checkerboard", measure("checkerboard", fluent + board, reals=fluent))
    blurred = F.avg_pool2d(F.pad(fluent, (1, 1, 1, 1), mode="replicate"), 3, 1)
    assert not shows("checkerboard", measure("checkerboard", blurred, reals=fluent))


def make_noise(images: Tensor, side: int) -> Tensor:
    noise = torch.randn(*images.shape[:2], side, side, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise, size=images.shape[-2:], mode="bicubic")


@pytest.mark.parametrize("side", [20, 32, 64])
def test_mottled_regions_show(side: int, flat: Tensor, fluent: Tensor) -> None:
    """Blotches of three pixels, of two and of one: a tenth of the range, which one sees."""
    rough = (fluent + 0.1 * make_noise(fluent, side)).clamp(-1, 1)
    assert shows("roughness", measure("roughness", rough, flat, fluent))
    assert not shows("roughness", measure("roughness", fluent * 0.9, flat, fluent))


def test_roughness_is_of_flat_places_alone(flat: Tensor, fluent: Tensor) -> None:
    assert measure("roughness", fluent + 0.2 * (flat > 0.99), flat, fluent) < 1.6  # white places do not count
    assert math.isnan(measure("roughness", fluent, make_noise(fluent, 64), fluent))


def test_tinted_white_shows(flat: Tensor, fluent: Tensor) -> None:
    lilac = (fluent + 1) * torch.tensor([0.97, 0.95, 1.0]).reshape(1, 3, 1, 1) - 1
    assert shows("white_tint", measure("white_tint", lilac, flat, fluent))
    assert measure("white_tint", lilac, flat, fluent) == pytest.approx(0.05, abs=0.005)
    grey = fluent * 0.9  # which is darker, and not tinted
    assert not shows("white_tint", measure("white_tint", grey, flat, fluent))


def test_a_tint_is_nothing_where_nothing_is_white(flat: Tensor, fluent: Tensor) -> None:
    assert math.isnan(measure("white_tint", fluent, flat, fluent * 0.9))  # B has no white
    assert math.isnan(measure("white_tint", fluent, flat * 0.9, fluent))
    assert math.isnan(measure("white_tint", fluent[:, :1], flat, fluent))


def test_hidden_information_shows(flat: Tensor) -> None:
    """A generator that writes its input a thousand times fainter into a grey image, and reads it back."""
    hidden = flat / 1000
    assert shows("steganography", measure("steganography", hidden, flat, back=lambda images: images * 1000))


def test_separation_of_logits() -> None:
    assert measure_auc(torch.ones(4, 1, 2, 2), torch.zeros(3, 1, 2, 2)) == 1
    assert not shows("discriminator_auc", float("nan"))


def test_an_alarm_needs_the_symptom_twice_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    alarms = Alarms("unused.csv")
    for _ in range(4):
        alarms._announce({"copying_ab": 0.999, "checkerboard_ab": 1.0})
    said = capsys.readouterr().out
    assert said.count("the outputs equal the inputs") == 1
    restored = Alarms("unused.csv")
    restored.load_state_dict(alarms.state_dict())
    restored._announce({"copying_ab": 0.999})
    assert capsys.readouterr().out == ""


def read_symptoms(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "symptoms.csv").open() as file:
        return list(csv.DictReader(file))


def list_showing(row: dict[str, str]) -> list[str]:
    """Return what a row of the file says beyond the thresholds, as it is printed."""
    names = [name.rsplit("_", 1) for name in row if name.endswith(("_ab", "_ba"))]
    shown = [(name, way) for name, way in names if shows(name, float(row[f"{name}_{way}"] or "nan"))]
    return sorted(f"alarm ({way}, at the end): {SYMPTOMS[name].message}" for name, way in shown)


def test_alarms_measure_a_real_run(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    switches = ["callbacks.alarms.every=2", "callbacks.alarms.start=0", "logger=tensorboard"]
    run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run"), *WHOLE, *switches)
    raised = load(tmp_path / "run")["callbacks"]["Alarms"]["raised"]
    said = capfd.readouterr().out
    rows = read_symptoms(tmp_path / "run")
    assert [int(row["iteration"]) for row in rows] == [2, 4, 6, 8, 10]
    assert "checkerboard_ab" in rows[0]
    assert raised  # an untrained generator has every fault
    for key in raised:
        name, direction = key.rsplit("_", 1)
        assert said.count(f"alarm ({direction}): {SYMPTOMS[name].message}") == 1
    assert_said(said, rows[-1])


def assert_said(said: str, row: dict[str, str]) -> None:
    lines = sorted(line.rsplit(" (", 1)[0] for line in said.splitlines() if "at the end" in line)
    assert lines == list_showing(row) != []


@pytest.mark.reliability
def test_a_short_run_says_what_it_ends_with(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """Two batches are fewer than `start`, and than `every`: nothing was measured, and nothing said."""
    overrides = ["experiment=custom", *make_overrides(tiny_data, tmp_path / "run")]
    run(monkeypatch, *overrides)
    (row,) = read_symptoms(tmp_path / "run")
    assert row["iteration"] == "2"
    assert_said(capfd.readouterr().out, row)
    (tmp_path / "run" / "finished").unlink()  # as after a stop while it was evaluated
    run(monkeypatch, *overrides, "resume=auto")
    assert read_symptoms(tmp_path / "run") == [row]
    assert_said(capfd.readouterr().out, row)
