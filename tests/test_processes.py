"""Two processes: resumed bit for bit, stopped together, nobody left behind. And pictures that break statistics."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import sweep
from PIL import Image, ImageDraw
from test_resume import WHOLE, find_differences
from test_safety import is_finite
from test_train import ROOT, load, make_overrides, run, run_apart

pytestmark = pytest.mark.reliability

TWO = ["trainer.accelerator=cpu", "trainer.devices=2"]  # trainer=ddp, without being said


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(tiny_data: Path, tmp_path: Path) -> None:
    """An epoch, then a second one resumed, against both at once; each process has its own pools and draws."""
    common = [*WHOLE, *TWO]
    halved = [*make_overrides(tiny_data, tmp_path / "halved"), *common]
    for overrides in (
        [*make_overrides(tiny_data, tmp_path / "whole"), *common],
        [*halved, "method.schedule.decay_epochs=0"],
        [*halved, "resume=auto", "resume_changes=allow"],
    ):
        result = run_apart(*overrides)
        assert result.returncode == 0, result.stderr
    one, other = load(tmp_path / "whole"), load(tmp_path / "halved")
    processes = one["diptych"]["processes"]
    assert len(processes) == 2
    assert find_differences(processes[0]["extra_state"], processes[1]["extra_state"])
    for state in (one, other):
        del state["diptych"]["recipe"]
    for key in ("state_dict", "optimizer_states", "callbacks", "diptych"):
        assert find_differences(one[key], other[key], key) == []


def list_session(leader: int) -> list[str]:
    """Return the processes that a session leader has started and that still live."""
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(leader)], capture_output=True, text=True, check=False)
    return listed.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sessions of processes are POSIX")
def test_a_signal_to_one_process_stops_both(tiny_data: Path, tmp_path: Path) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE, *TWO, "method.schedule.epochs=100000"]
    process = subprocess.Popen(
        [sys.executable, "train.py", *overrides], cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "run" / "metrics.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.is_file() and len(metrics.read_text().splitlines()) > 3):
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143, told
    assert "go on with resume=auto" in told
    deadline = time.monotonic() + 15
    while (left := list_session(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    assert load(tmp_path / "run")["diptych"]["iteration"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("words", sweep(["15 fp32", "50 fp32", "50 bf16"], {"15 fp32"}))
def test_constant_and_half_black_pictures_give_no_nan(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instance norm on images without variance is what made the published code's gradients blow up."""
    for folder in ("trainA", "trainB"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name, colour in (("black", "black"), ("grey", "grey"), ("white", "white"), ("half", "black")):
            picture = Image.new("RGB", (16, 16), colour)
            if name == "half":
                ImageDraw.Draw(picture).rectangle((0, 0, 7, 15), fill="white")
            picture.save(tmp_path / "data" / folder / f"{name}.png")
    epochs, precision = words.split()
    more = ["data.load_size=16", f"method.schedule.epochs={epochs}", f"precision={precision}"]
    more += ["callbacks.alarms.every=0", "~callbacks.samples"]
    overrides = [*make_overrides(tmp_path / "data", tmp_path / "run"), "experiment=custom", *more]
    run(monkeypatch, *overrides, "trainer.limit_train_batches=1.0")
    assert load(tmp_path / "run")["diptych"]["iteration"] == 4 * int(epochs)
    assert is_finite(tmp_path / "run")
