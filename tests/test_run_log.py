"""What a run leaves behind of what it said, and what a refused one leaves behind: nothing."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_cyclegan, make_trainer, sweep
from test_safety import LIGHTNING
from test_train import ROOT, make_overrides, read_rows, run

from diptych.callbacks.csv_file import CsvFile
from diptych.callbacks.data_report import DataReport
from diptych.errors import MachineError, NumericError
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import CheckpointFiles
from diptych.training.lock import lock_run
from diptych.training.machine import find_wandb_id
from diptych.training.run_log import RunLog, keep_log, note

pytestmark = pytest.mark.reliability
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


def test_the_log_holds_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.log"
    monkeypatch.setattr(logging.root, "handlers", [])  # Hydra's, which write to the streams of tests before this one
    with pytest.raises(NumericError), keep_log(path):
        print("one", end="")
        print(" line")
        print("\x1b[1mbold\x1b[0m \x1b]0;title\x07")
        sys.stdout.write("\r\x1b[2Kdrawn over\n")
        print("2026-01-02 03:04:05 with its own time")
        print("on the standard error", file=sys.stderr)
        logging.getLogger("somebody").warning("a record")
        note("for the log alone")
        raise NumericError("weights are not finite")
    lines = path.read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    said = [re.sub(f"^{STAMP}", "", line) for line in lines]
    assert said[:3] == ["one line", "bold  ]0;title", "with its own time"]
    assert said[3:] == ["on the standard error", "a record", "for the log alone", "error: weights are not finite"]
    told = capfd.readouterr()
    assert "drawn over" in told.out
    assert "for the log alone" not in told.out


def test_a_pipe_that_vanishes_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches the `tee` at the other end as well, and ends it first."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        with keep_log(tmp_path / "train.log"):
            print("before", flush=True)
            os.close(reader)
            print("after", flush=True)
            print("and on", flush=True)
    assert [line[20:] for line in (tmp_path / "train.log").read_text().splitlines()] == ["before", "after", "and on"]


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize("output", sweep([">&-", ">/dev/full", ">&- 2>&-"], {">&- 2>&-"}))
def test_a_run_without_an_output_goes_on(output: str, tiny_data: Path, tmp_path: Path) -> None:
    words = ["experiment=custom", *make_overrides(tiny_data, tmp_path / "run")]
    command = ["sh", "-c", f'exec "$@" {output}', "sh", sys.executable, "train.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "finished").is_file()
    lines = (tmp_path / "run" / "train.log").read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)  # nobody else wrote into it
    assert any("from scratch, 1 epoch" in line for line in lines)
    assert any("Next: " in line for line in lines)


def test_a_short_run_leaves_a_row_and_a_log(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides = make_overrides(tiny_data, tmp_path / "run", "trainer.log_every_n_steps=50")
    overrides += ["+callbacks.progress.line_seconds=1e-6"]
    run(monkeypatch, "experiment=custom", *overrides)
    assert [row["iteration"] for row in read_rows(tmp_path / "run")] == ["2"]
    told = capfd.readouterr().out
    assert "from scratch, 1 epoch\n" in told
    lines = (tmp_path / "run" / "train.log").read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    assert any("from scratch, 1 epoch" in line for line in lines)
    for line in (rf"^{STAMP}iteration {i}, epoch 1/1, .* images/s, .*cycle_a \d" for i in (1, 2)):
        assert re.search(line, told, re.MULTILINE)
        assert sum(bool(re.search(line, kept)) for kept in lines) == 1


REFUSED = {
    "data.root=/nowhere": "/nowhere/trainA: no such folder",
    "generator.network=Resnet": "unknown network 'Resnet'",
    "resume=/nowhere.ckpt": "/nowhere.ckpt: no such checkpoint",
    "method._target_=os.system": "not allowed in a recipe",
    "data.batch_size=7 data.drop_last=true": "data.drop_last leaves no batch: an epoch has 5 images, 7 make a batch",
    "+method.clip.nobody=1": "method.clip.nobody: the players are",
    "+method.weights.generator.nonsense=1": "method.weights.generator.nonsense weights a term that does not exist",
    "~method.optimizer.generator": "method.optimizer.generator is not set",
    "~method.weights.generator.cycle_a": "cycle_a is not set, but the method has this term",
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_refused_run_leaves_no_folder(
    mistake: str,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not even where the mistake comes to light in the first batch."""
    with pytest.raises(SystemExit):
        run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run"), *mistake.split())
    assert re.search(rf"^error: [^\n]*{REFUSED[mistake]}[^\n]*\n\Z", capfd.readouterr().err, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_what_a_first_batch_finds_touches_no_file_of_another(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "samples").mkdir(parents=True)
    (tmp_path / "run" / "samples" / "mine.png").write_text("mine")
    mistake = "+method.weights.generator.nonsense=1"
    with pytest.raises(SystemExit):
        run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run"), mistake)
    assert (tmp_path / "run" / "samples" / "mine.png").read_text() == "mine"


def test_a_refused_run_touches_no_file_of_another(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run"), "resume=/nowhere.ckpt")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def keep_skipped(folder: Path) -> None:
    DataReport(str(folder))._note_skipped([("x.png", "no image")])


def append_row(folder: Path) -> None:
    file = CsvFile(folder / "metrics.csv")
    file.trim(3)
    file.append({"iteration": "4", "images_seen": "4"})


def save_twice(folder: Path) -> None:
    method = make_cyclegan()
    checkpoint = {"state_dict": method.state_dict(), **LIGHTNING}
    RunState().on_save_checkpoint(make_trainer(), method, checkpoint)
    for _ in range(2):
        CheckpointFiles().save_checkpoint(checkpoint, folder / "last.ckpt")


WRITERS: dict[str, Callable[[Path], object]] = {
    ".holder": lambda folder: lock_run(folder).__enter__(),
    ".lock": lambda folder: lock_run(folder).__enter__(),
    "train.log": lambda folder: RunLog(folder / "train.log").write("a line\n"),
    "skipped.csv": keep_skipped,
    "metrics.csv": append_row,
    "wandb_run_id": lambda folder: find_wandb_id(folder / "wandb_run_id"),
    ".last.ckpt.tmp-PID": save_twice,
    ".previous.ckpt.tmp-PID": save_twice,
    "previous.ckpt": save_twice,
}


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_a_run_writes_into_no_file_but_its_own(name: str, kind: str, tmp_path: Path) -> None:
    """Somebody's run folder may hold links to any file, and pipes, under every name that a run writes."""
    folder, precious = tmp_path / "run", tmp_path / "precious"
    folder.mkdir()
    place = folder / name.replace("PID", str(os.getpid()))
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(precious)
    if kind == "link":
        precious.write_text("iteration,images_seen\n1,1\n")
    try:
        WRITERS[name](folder)
    except MachineError as error:
        assert str(error).startswith(str(folder))  # either will do: refused, or the link replaced
    if kind == "link":
        assert precious.read_text() == "iteration,images_seen\n1,1\n"
    else:
        assert not precious.exists()
