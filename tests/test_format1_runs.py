"""Runs of the first format: today's code goes on with their checkpoints to where the old code got."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_train import read_rows, run

from diptych import load_translator
from diptych.errors import UserError
from diptych.training.resume import Resumption
from diptych.translators.header import FORMAT

FORMAT1 = Path(__file__).parent / "data" / "format1"
EXPECTED = load_file(FORMAT1 / "expected.safetensors")
REACHED = 5  # batches in the checkpoints, of ten
TRANSLATORS = {"cyclegan": ("ab", "ba"), "adain": ("ab",)}


@pytest.mark.parametrize("name", TRANSLATORS)
def test_old_checkpoints_are_read(name: str) -> None:
    result = load_translator(FORMAT1 / name / "previous.ckpt")(EXPECTED["content"])
    torch.testing.assert_close(result, EXPECTED[f"{name}.checkpoint"].clamp(-1, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_old_runs_are_gone_on_with(
    name: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No key of the recipe counts as changed, and the rest of the run is what it was."""
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(FORMAT1 / name / "previous.ckpt", tmp_path / "checkpoints" / "last.ckpt")
    shutil.copy(FORMAT1 / name / "metrics.csv", tmp_path)
    settings = ["experiment=custom", f"method={name}", f"data.root={tiny_data}", f"run_dir={tmp_path}", "trainer=cpu"]
    settings += ["data.load_size=18", "data.crop_size=16", "data.workers=0", "trainer.log_every_n_steps=1"]
    settings += ["method.schedule.epochs=1", "method.schedule.decay_epochs=1", "callbacks.finish.evaluation=false"]
    settings += ["callbacks.checkpoint.every=0", "callbacks.alarms.every=3"]
    old = read_rows(FORMAT1 / name)
    run(monkeypatch, *settings, *json.loads((FORMAT1 / name / "overrides.json").read_text()), "resume=auto")
    assert "changed since the checkpoint" not in capfd.readouterr().out
    new = read_rows(tmp_path)
    assert [row["iteration"] for row in new] == [row["iteration"] for row in old]
    assert new[:REACHED] == old[:REACHED]
    for before, now in zip(old[REACHED:], new[REACHED:], strict=True):
        values = {key: float(value) for key, value in now.items()}
        assert values == pytest.approx({key: float(value) for key, value in before.items()}, rel=1e-3)
    for direction in TRANSLATORS[name]:
        result = load_translator(tmp_path / "translators" / f"{direction}.safetensors")(EXPECTED["content"])
        torch.testing.assert_close(result, EXPECTED[f"{name}.{direction}"].clamp(-1, 1), atol=2e-3, rtol=0)


def test_a_switch_that_is_gone_says_nothing_of_a_run() -> None:
    """Of older formats only: where today's recipes differ, a key that is missing is a difference."""
    recipe = {"seed": 0, "method": {"clip": {}}}
    before = {**recipe, "gone": "auto"}
    for version, changes in ((1, []), (FORMAT, ["changed since the checkpoint: gone: auto → None"])):
        content = {"diptych": {"format": version, "recipe": before}}
        assert Resumption(Path("last.ckpt"), content).check_changes(recipe, allowed=True) == changes
    old = Resumption(Path("last.ckpt"), {"diptych": {"format": 1, "recipe": {**before, "seed": 1}}})
    with pytest.raises(UserError, match=r"differs from that of last\.ckpt \(seed: 1 → 0\)"):
        old.check_changes(recipe, allowed=False)
