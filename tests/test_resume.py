"""Interrupted anywhere and resumed, a run ends bit for bit as if nothing had happened."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sweep, write_noise
from test_train import NEEDS, ROOT, load, make_overrides, read_rows, run
from torch import Tensor

from diptych.methods import Method
from diptych.training.checkpoint_files import LAST

pytestmark = pytest.mark.reliability

WHOLE = [
    "experiment=custom",
    "method.schedule.epochs=1",
    "method.schedule.decay_epochs=1",
    "trainer.limit_train_batches=1.0",
    "method.pool_size=2",
    "generator.blocks=1",
    "discriminator.layers=1",
    "generator.dropout=true",  # draws from the global generator
    "+method.augmentation._target_=diptych.losses.DiffAugment",  # so does this
    "+data.augment._target_=kornia.augmentation.ColorJiggle",
    "+data.augment.hue=0.3",
    "trainer.deterministic=true",
    "callbacks.checkpoint.every=2",
]
ITERATIONS = 10
METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
ALONE = ("adain", "encoder_decoder", "fusion", "wct")  # no discriminator, whose images could be varied


def find_differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two states differ by as much as a bit."""
    if isinstance(one, Tensor):
        return [] if torch.equal(one, other) else [path]
    if isinstance(one, dict):
        keys = one.keys() | other.keys()
        return [d for key in keys for d in find_differences(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list | tuple) and len(one) == len(other):
        return [
            d for i, pair in enumerate(zip(one, other, strict=True)) for d in find_differences(*pair, f"{path}[{i}]")
        ]
    return [] if one == other else [path]


def assert_same_end(one: Path, other: Path) -> None:
    first, second = load(one), load(other)
    for state in (first, second):
        del state["diptych"]["recipe"]
    for key in ("state_dict", "optimizer_states", "callbacks", "diptych"):
        assert find_differences(first[key], second[key], key) == []
    assert read_rows(one) == read_rows(other)
    bundles = sorted(path.name for path in (one / "translators").iterdir())
    assert "ab.safetensors" in bundles
    for bundle in bundles:
        name = Path("translators") / bundle
        assert (one / name).read_bytes() == (other / name).read_bytes()


def stop_at(monkeypatch: pytest.MonkeyPatch, iteration: int, number: signal.Signals) -> None:
    """Send this process a signal in the middle of a batch."""
    original = Method.training_step

    def step(self: Method, batch: dict[str, Tensor], index: int) -> None:
        if self.iteration + 1 == iteration:
            signal.raise_signal(number)
        original(self, batch, index)

    monkeypatch.setattr(Method, "training_step", step)


@pytest.fixture(scope="module")
def uninterrupted(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, *make_overrides(tiny_data, run_dir), *WHOLE)
    assert load(run_dir)["diptych"]["iteration"] == ITERATIONS
    return run_dir


@pytest.mark.parametrize("iteration", sweep(range(1, ITERATIONS + 1), {4, 5}))  # 5 ends an epoch
def test_stopped_at_any_batch(
    iteration: int, uninterrupted: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = f"data.workers={2 if iteration in (3, 5) else 0}"
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE, workers]
    number, code = ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143))[iteration % 3]
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as stop:
        stop_at(patched, iteration, number)
        run(patched, *overrides)
    assert stop.value.code == code
    assert load(tmp_path / "run")["diptych"]["iteration"] == iteration
    run(monkeypatch, *overrides, "resume=auto")
    assert_same_end(uninterrupted, tmp_path / "run")


@pytest.mark.parametrize("method", sweep(METHODS, {"cyclegan", "distancegan", "fastcut", "adain", "fusion"}))
def test_every_method_resumes_exactly(
    method: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches, another process's worth of state, and two more are four."""
    more = ["experiment=custom", f"method={method}", *NEEDS.get(f"method={method}", [])]
    more += [] if method == "pix2pix" else ["generator.blocks=6"]  # a U-Net has none
    more += ["method.schedule.decay_epochs=1", "~callbacks.samples"]
    if method not in ALONE:
        more += ["+method.augmentation._target_=diptych.losses.DiffAugment"]
    first, second = ([*make_overrides(tiny_data, tmp_path / name), *more] for name in ("whole", "parts"))
    run(monkeypatch, *first)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        stop_at(patched, 2, signal.SIGTERM)
        run(patched, *second)
    assert load(tmp_path / "parts")["diptych"]["iteration"] == 2
    run(monkeypatch, *second, "resume=auto")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_killed_while_exporting(
    uninterrupted: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE]
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(
            "diptych.translators.NetworkTranslator.save", lambda *_: (_ for _ in ()).throw(RuntimeError("killed"))
        )
        run(patched, *overrides)
    run(monkeypatch, *overrides, "resume=auto")
    assert_same_end(uninterrupted, tmp_path / "run")
    capfd.readouterr()
    run(monkeypatch, *overrides, "resume=auto")
    assert "this run is finished; nothing to do" in capfd.readouterr().out


def test_interrupted_while_exporting(
    uninterrupted: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE]
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs the tests in its background
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as stop:
        patched.setattr("diptych.translators.NetworkTranslator.save", lambda *_: signal.raise_signal(signal.SIGINT))
        run(patched, *overrides)
    assert stop.value.code == 130
    assert signal.getsignal(signal.SIGINT) is before
    run(monkeypatch, *overrides, "resume=auto")
    assert_same_end(uninterrupted, tmp_path / "run")


def test_changes_between_runs_are_named(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE, "trainer.limit_train_batches=1"]
    run(monkeypatch, *overrides)
    for more, words in (
        (["data.batch_size=2", "resume=auto"], "data.batch_size: 1 → 2"),
        (["generator.width=8", "resume=auto"], "generator.width: 4 → 8"),
        (["trainer.devices=2", "resume=auto"], "trainer.devices: 1 → 2"),
        ([], "there is a run already"),
        (["resume=/elsewhere/last.ckpt"], "there is a run already"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(monkeypatch, *overrides, *more)
        assert stop.value.code == 2
        assert words in capfd.readouterr().err
    run(monkeypatch, *overrides, "resume=auto", "callbacks.samples.every=7", "data.workers=1")
    longer = ["resume=auto", "resume_changes=allow", "method.schedule.decay_epochs=2"]
    run(monkeypatch, *overrides, *longer)
    assert "method.schedule.decay_epochs: 1 → 2" in capfd.readouterr().out
    assert load(tmp_path / "run")["diptych"]["iteration"] == 3


def test_a_damaged_checkpoint_is_skipped(
    uninterrupted: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE]
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        stop_at(patched, 7, signal.SIGTERM)
        run(patched, *overrides)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    spoiled = bytearray(last.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    last.write_bytes(bytes(spoiled))
    run(monkeypatch, *overrides, "resume=auto")
    told = capfd.readouterr().out
    assert re.search(r"skipped \S*last\.ckpt: damaged", told)
    assert re.search(r"going on from \S*previous\.ckpt", told)
    assert_same_end(uninterrupted, tmp_path / "run")


def test_moved_data_are_the_same_and_changed_data_are_named(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    moved = shutil.copytree(tiny_data, tmp_path / "moved")
    switches = [*WHOLE, "trainer.limit_train_batches=1"]
    run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run"), *switches)
    run(monkeypatch, *make_overrides(moved, tmp_path / "run"), *switches, "resume=auto")
    write_noise(moved / "trainB" / "more.png", np.random.default_rng(9))
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *make_overrides(moved, tmp_path / "run"), *switches, "resume=auto")
    assert stop.value.code == 2
    assert "data_fingerprint: " in capfd.readouterr().err


def read_time(path: Path) -> int | None:
    """Return when a file was written last, if it is there."""
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.slow
@pytest.mark.parametrize("kills", sweep([1, 7], {1}))
def test_killed_at_random_moments(kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes, real `kill -9`, no warning; also while a checkpoint is being written."""
    data, random = tmp_path / "data", np.random.default_rng(int.from_bytes(os.urandom(4)))
    for folder, count in (("trainA", 30), ("trainB", 20)):
        for index in range(count):
            write_noise(data / folder / f"{index}.png", np.random.default_rng(index))
    common = [*make_overrides(data, Path("RUN")), *WHOLE, "callbacks.checkpoint.every=1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(monkeypatch, *common, f"run_dir={whole}")
    command = [sys.executable, "train.py", *common, f"run_dir={killed}", "resume=auto"]
    newest, codes = killed / "checkpoints" / LAST, []
    for kill in range(kills):
        before = read_time(newest)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while kill % 3 != 2 and process.poll() is None and read_time(newest) == before:
            time.sleep(0.01)  # two processes of three go on before they are killed, one is killed whenever
        time.sleep(random.random() * (10 if kill % 3 == 2 else 2))
        process.kill()
        codes.append(process.wait())
    assert codes[0] == -signal.SIGKILL
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    assert_same_end(whole, killed)
