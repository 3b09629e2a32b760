"""Names of files and folders, domains and a bundle's notes that order a terminal about, through every command."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_NETWORKS, write_noise

from diptych.cli import main
from diptych.networks import build
from diptych.translators import NetworkTranslator

sys.path.insert(0, str(Path(__file__).parent.parent))
import train

pytestmark = pytest.mark.reliability

NAME = "[bold]\x1b[2J\nerror: forged"  # of a file
NOTE = f"[/red]{NAME}"  # no markup of Rich's: it would be an error
SPELT = "[bold]\\x1b[2J\\nerror: forged"


def find_forged(text: str) -> list[str]:
    """Return the lines that are not ours, and the escapes that are not Rich's."""
    return [line for line in text.splitlines() if line.startswith("error: forged") or "\x1b[2J" in line]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / f"{NAME}.safetensors"
    notes = {"direction": "ab", "from": NOTE, "to": "B", "size": 32, "experiment": NOTE, NOTE: NOTE}
    NetworkTranslator(build("ResnetGenerator", width=1, blocks=1).eval(), notes).save(path)
    return path


def test_describe_prints_notes_as_text(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert f"experiment: [/red]{SPELT}" in said
    assert find_forged(said) == []


def test_translate_names_hostile_files_as_text(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    write_noise(folder / f"{NAME}.png", np.random.default_rng(0))
    (folder / f"bad {NAME}.png").write_bytes(b"nothing")
    out = tmp_path / NAME
    assert main(["translate", str(folder), "--translator", str(bundle), "--out", str(out), "--engine", "torch"]) == 4
    captured = capsys.readouterr()
    assert find_forged(captured.out) == find_forged(captured.err) == []
    assert captured.err.splitlines() == [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert f"bad {SPELT}.png: not a readable image" in captured.err
    assert len(list(out.iterdir())) == 1


def test_evaluate_similarity_and_stylize_show_them_as_text(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, random = tmp_path / NAME, np.random.default_rng(0)
    for name in ("testA/1", "testA/2", "testB/1", "testB/2"):
        write_noise(data / f"{name}{NAME}.png", random, (36, 36))
    images, out = sorted(map(str, (data / "testA").iterdir())), str(tmp_path / "out")
    words = ["--translator", str(bundle), "--data", str(data), "--out", str(tmp_path / f"{NAME}.json")]
    assert main(["evaluate", *words]) == 0
    assert main(["similarity", *images, "--encoder", "own", "--size", "32", "--out", out]) == 0
    stylize = ["stylize", images[0], "--style", images[1], "--encoder", "own", "--steps", "1", "--every", "1"]
    assert main([*stylize, "--out", out]) == 0
    captured = capsys.readouterr()
    assert find_forged(captured.out) == find_forged(captured.err) == []
    assert captured.out.count(SPELT) > 4


def test_a_run_with_hostile_names_trains_and_shows_them_as_text(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "m[/red]x\x1b[2J"
    overrides = [
        f"data.root={tiny_data}", "experiment=custom", f"run_dir={run_dir}", "domains=['[/red]',B]",
        "data.load_size=18", "data.crop_size=16", "data.workers=0", "method.schedule.epochs=1",
        "method.schedule.decay_epochs=0", "trainer.limit_train_batches=1",
        "callbacks.finish.evaluation=false", *TINY_NETWORKS,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train.py", *train.prepare(overrides)])
    train.main()
    said = capsys.readouterr().out
    assert find_forged(said) == []
    assert "[/red] (5 images) ↔ B (3 images)" in said
    assert "m[/red]x\\x1b[2J/samples/final.png" in said
    assert (run_dir / "finished").is_file()
