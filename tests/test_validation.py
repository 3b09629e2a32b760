"""Images held out of training, metrics measured on them meanwhile, the best translators kept."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_noise
from test_resume import WHOLE
from test_train import load, make_overrides, run

from diptych.data import UnpairedData
from diptych.translators import load_translator

MEASURED = ["callbacks.evaluate.every=2", "callbacks.evaluate.best=swd", "metric=[swd,copying,psnr,classified_b]"]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 images of A and 120 of B, 18×18 pixels, and two aligned test pairs."""
    root, random = tmp_path_factory.mktemp("hundred"), np.random.default_rng(0)
    for folder, count in (("trainA", 100), ("trainB", 120), ("testA", 2), ("testB", 2)):
        for index in range(count):
            write_noise(root / folder / f"{index}.png", random, (18, 18))
    return root


def make_data(root: Path, **more: object) -> UnpairedData:
    return UnpairedData(root=str(root), load_size=18, crop_size=16, validation=1, **more)  # type: ignore[arg-type]


def test_a_tenth_is_held_out_by_name(hundred: Path) -> None:
    data, again = make_data(hundred), make_data(hundred, seed=7)
    held = data.validation_paths
    assert {domain: len(paths) for domain, paths in held.items()} == {"a": 10, "b": 12}
    assert {domain: len(paths) for domain, paths in data.train_paths.items()} == {"a": 90, "b": 108}
    assert not set(held["a"]) & set(data.train_paths["a"])
    assert again.validation_paths == held
    assert data.fingerprint != UnpairedData(root=str(hundred), load_size=18, crop_size=16).fingerprint


def test_partners_are_held_out_together(hundred: Path) -> None:
    data = make_data(hundred, paired=True)
    names: Sequence[list[str]] = [[path.name for path in data.validation_paths[domain]] for domain in "ab"]
    assert names[0] == names[1]
    assert len(names[0]) == 10


def test_nothing_is_held_out_of_a_tiny_set(tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_data(tiny_data)
    assert data.validation_paths == {"a": [], "b": []}
    assert len(data.train_paths["a"]) == 5
    assert capsys.readouterr().out.count("no validation: 0 of ten times as many training images") == 1


def read_rows(run_dir: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run_dir / "validation.csv").open()))


def test_metrics_are_measured_while_training_and_change_nothing(
    hundred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("diptych.metrics.domain_classifier._STEPS", 3)
    short = [*WHOLE, "method.schedule.epochs=1", "method.schedule.decay_epochs=0", "trainer.limit_train_batches=6"]
    overrides = make_overrides(hundred, tmp_path / "run", *short, *MEASURED, "callbacks.finish.evaluation=true")
    run(monkeypatch, *overrides, "logger=tensorboard")
    rows = read_rows(tmp_path / "run")
    assert [row["iteration"] for row in rows] == ["2", "4", "6"]
    assert set(rows[0]) == {
        "iteration",
        "images_seen",
        *(f"{name}_{way}" for name in ("swd", "copying") for way in ("ab", "ba")),
    }
    said = capsys.readouterr().out
    assert "validation: measuring took" in said
    best = load_translator(tmp_path / "run" / "translators" / "best_ab.safetensors")
    values = [float(row["swd_ab"]) for row in rows]
    assert best.notes["iteration"] == int(rows[int(np.argmin(values))]["iteration"])
    assert best.notes["chosen"].startswith(f"swd {min(values):.4f}, chosen on validation, iteration ")
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())["ab"]["columns"]
    assert list(scores)[:2] == ["output", "chosen on validation"]
    assert scores["chosen on validation"]["psnr"]["value"] > 0
    again = make_overrides(hundred, tmp_path / "rarely", *short, *MEASURED, "callbacks.evaluate.every=1000")
    run(monkeypatch, *again)
    assert_same_weights(tmp_path / "run", tmp_path / "rarely")


def assert_same_weights(one: Path, other: Path) -> None:
    states = [load(run_dir)["state_dict"] for run_dir in (one, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_stopped_run_goes_on_with_what_was_best(
    hundred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = [*WHOLE, *MEASURED, "trainer.limit_train_batches=4", "method.schedule.decay_epochs=0"]
    whole = make_overrides(hundred, tmp_path / "whole", *short, "method.schedule.epochs=2")
    run(monkeypatch, *whole)
    first = make_overrides(hundred, tmp_path / "run", *short, "method.schedule.epochs=1")
    run(monkeypatch, *first)
    longer = [word for word in first if not word.startswith("method.schedule.epochs")]
    run(monkeypatch, *longer, "method.schedule.epochs=2", "resume=auto", "resume_changes=allow")
    assert (tmp_path / "run" / "validation.csv").read_bytes() == (tmp_path / "whole" / "validation.csv").read_bytes()
    notes = [
        load_translator(tmp_path / name / "translators" / "best_ba.safetensors").notes for name in ("run", "whole")
    ]
    assert notes[0] == notes[1]


@pytest.mark.parametrize(
    ("best", "said"), [("sdw", "is not measured while training"), ("classified_b", "is not measured")]
)
def test_what_cannot_be_best_is_refused(
    best: str,
    said: str,
    hundred: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    overrides = make_overrides(hundred, tmp_path / "run", *MEASURED, f"callbacks.evaluate.best={best}")
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *overrides)
    assert stopped.value.code == 2
    assert f"callbacks.evaluate.best = {best} {said}" in capsys.readouterr().err
