"""Every symptom is seen where it is made, and not seen on real images."""

import math
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_metrics import read
from test_resume import WHOLE
from test_train import load, make_overrides, run
from torch import Tensor

from diptych.callbacks import Alarms
from diptych.metrics import symptoms
from diptych.metrics.symptoms import SYMPTOMS


@pytest.fixture(scope="module")
def flat() -> Tensor:
    return read("testA", 10)


@pytest.fixture(scope="module")
def fluent() -> Tensor:
    return read("testB", 10)


def shows(name: str, value: float) -> bool:
    return SYMPTOMS[name].shows(value)


def test_real_translations_show_nothing(flat: Tensor, fluent: Tensor) -> None:
    """The aligned truth is what a perfect translator would make."""
    assert not shows("output_variation", symptoms.measure_variation(fluent, fluent.flip(0)))
    assert not shows("saturation", symptoms.measure_saturation(fluent, fluent.flip(0)))
    assert not shows("change", symptoms.measure_change(fluent, flat))
    assert not shows("luminance_correlation", symptoms.measure_luminance_correlation(fluent, flat))
    assert not shows("checkerboard", symptoms.measure_checkerboard(fluent, read("trainB", 30)))
    assert not shows("hidden_information", symptoms.measure_hidden_information(fluent, flat, lambda images: images))


def test_collapse_shows(fluent: Tensor) -> None:
    same = fluent[:1].expand_as(fluent) + 0.01 * torch.rand(fluent.shape, generator=torch.Generator().manual_seed(0))
    assert shows("output_variation", symptoms.measure_variation(same, fluent))
    with warnings.catch_warnings(action="error"):  # one style image, as Johnson's: nothing to compare with
        assert math.isnan(symptoms.measure_variation(same, fluent[:1]))


def test_saturation_shows(fluent: Tensor) -> None:
    assert shows("saturation", symptoms.measure_saturation((fluent * 100 - 1).clamp(-1, 1), fluent))


def test_copying_shows(flat: Tensor) -> None:
    assert shows("change", symptoms.measure_change(flat + 0.005, flat))


def test_inversion_shows(flat: Tensor) -> None:
    assert symptoms.measure_luminance_correlation(-flat, flat) == pytest.approx(-1, abs=1e-3)
    assert shows("luminance_correlation", -1.0)


@pytest.mark.parametrize("period", [2, 4])
def test_checkerboard_shows(period: int, fluent: Tensor) -> None:
    tile = torch.zeros(period, period)
    tile[: period // 2, : period // 2] = tile[period // 2 :, period // 2 :] = 0.1
    board = tile.repeat(64 // period, 64 // period)
    assert shows("checkerboard", symptoms.measure_checkerboard(fluent + board, fluent))
    blurred = F.avg_pool2d(F.pad(fluent, (1, 1, 1, 1), mode="replicate"), 3, 1)
    assert not shows("checkerboard", symptoms.measure_checkerboard(blurred, fluent))


def test_hidden_information_shows(flat: Tensor) -> None:
    """A generator that writes its input a thousand times fainter into a grey image, and reads it back."""
    hidden = flat / 1000
    assert shows("hidden_information", symptoms.measure_hidden_information(hidden, flat, lambda images: images * 1000))


def test_separation_of_logits() -> None:
    assert symptoms.measure_auc(torch.ones(4, 1, 2, 2), torch.zeros(3, 1, 2, 2)) == 1
    assert not shows("discriminator_auc", float("nan"))


def test_an_alarm_needs_the_symptom_twice_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    alarms = Alarms("unused.csv")
    for _ in range(4):
        alarms._announce({"change_ab": 0.001, "checkerboard_ab": 1.0})
    said = capsys.readouterr().out
    assert said.count("the outputs equal the inputs") == 1
    restored = Alarms("unused.csv")
    restored.load_state_dict(alarms.state_dict())
    restored._announce({"change_ab": 0.001})
    assert capsys.readouterr().out == ""


def test_alarms_measure_a_real_run(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    switches = ["callbacks.alarms.every=2", "callbacks.alarms.start=0", "logger=tensorboard"]
    run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run"), *WHOLE, *switches)
    raised = load(tmp_path / "run")["callbacks"]["Alarms"]["raised"]
    said = capfd.readouterr().out
    rows = (tmp_path / "run" / "symptoms.csv").read_text().splitlines()
    assert len(rows) == 1 + 5
    assert "checkerboard_ab" in rows[0]
    assert raised  # an untrained generator has every fault
    for key in raised:
        name, direction = key.rsplit("_", 1)
        assert said.count(f"alarm ({direction}): {SYMPTOMS[name].message}") == 1
