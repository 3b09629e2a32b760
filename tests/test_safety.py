"""Files that are whole or not there, one run per folder, numbers that stay numbers, recipes that execute nothing."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_cyclegan, make_trainer
from test_resume import WHOLE
from test_train import ROOT, load, make_overrides, read_rows, run
from torch import Tensor

from diptych.errors import FileError, MachineError, UserError
from diptych.methods import CycleGAN
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import CheckpointFiles, clear_leftovers, find_newest, verify_checkpoint
from diptych.training.lock import lock_run

pytestmark = pytest.mark.reliability

LIGHTNING = {
    "epoch": 0,
    "global_step": 0,
    "pytorch-lightning_version": "2.6.6",
    "loops": {},
    "callbacks": {},
    "optimizer_states": [],
    "lr_schedulers": [],
}
"""What Lightning adds to a checkpoint."""


@pytest.fixture
def checkpoint() -> dict:
    method = make_cyclegan()
    content = {"state_dict": method.state_dict(), **LIGHTNING}
    RunState().on_save_checkpoint(make_trainer(), method, content)
    return content


def test_checkpoint_is_replaced_whole_and_the_one_before_kept(checkpoint: dict, tmp_path: Path) -> None:
    path, files = tmp_path / "new" / "last.ckpt", CheckpointFiles()
    for iteration in (1, 2, 3):
        checkpoint["diptych"]["iteration"] = iteration
        files.save_checkpoint(checkpoint, path)
    assert files.load_checkpoint(path)["diptych"]["iteration"] == 3
    assert verify_checkpoint(path.with_name("previous.ckpt"))["diptych"]["iteration"] == 2
    assert {entry.name for entry in path.parent.iterdir()} == {"last.ckpt", "previous.ckpt"}


@pytest.mark.parametrize("moment", ["save", "verify", "replace"])
def test_a_failed_write_leaves_the_old_file(
    moment: str, checkpoint: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, files = tmp_path / "last.ckpt", CheckpointFiles()
    files.save_checkpoint(checkpoint, path)
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    target = {
        "save": "torch.save",
        "verify": "diptych.training.checkpoint_files.verify_checkpoint",
        "replace": "diptych.training.checkpoint_files.keep_previous",
    }[moment]
    with monkeypatch.context() as patched:
        patched.setattr(target, fail)
        with pytest.raises(MachineError, match=r"last\.ckpt: checkpoint not written \(No space left.*it needs \d+ MB"):
            files.save_checkpoint(checkpoint, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_noticed_first(checkpoint: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(MachineError, match=r"0 MB are free.*it needs \d+ MB in \S+$"):  # none before is intact
        CheckpointFiles().save_checkpoint(checkpoint, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_really_full_disk(checkpoint: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1 << 40})())
        checkpoint["diptych"]["iteration"] = 7
        CheckpointFiles().save_checkpoint(checkpoint, disk / "last.ckpt")
        checkpoint["more"] = torch.zeros(100_000)
        with pytest.raises(MachineError, match="checkpoint not written"):
            CheckpointFiles().save_checkpoint(checkpoint, disk / "last.ckpt")
        assert verify_checkpoint(disk / "last.ckpt")["diptych"]["iteration"] == 7
        assert [entry.name for entry in disk.iterdir()] == ["last.ckpt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_run_folder_deleted_under_way_is_named(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    original = CycleGAN.training_step

    def step(self: CycleGAN, batch: dict[str, Tensor], index: int) -> None:
        if self.iteration == 5:
            shutil.rmtree(tmp_path / "run")
        original(self, batch, index)

    monkeypatch.setattr(CycleGAN, "training_step", step)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run"), *WHOLE)
    assert stop.value.code == 6
    assert re.search(r"error: \S+metrics\.csv: cannot be written \(it was deleted", capfd.readouterr().err)


def test_leftovers_of_killed_runs_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.tmp-123").write_bytes(b"half")
    (tmp_path / "last.ckpt").write_bytes(b"")
    assert [path.name for path in clear_leftovers(tmp_path)] == [".last.ckpt.tmp-123"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged, or no checkpoint"),
        (b"<html>", "damaged, or no checkpoint"),
        ({"weights": 1}, "not a checkpoint of diptych"),
        ({"diptych": {"format": 99}}, "format 99, this version reads up to 2: upgrade"),
    ],
    ids=str,
)
def test_what_is_no_checkpoint_is_refused(content: bytes | dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(FileError, match=message):
        verify_checkpoint(path)
    assert find_newest(tmp_path) == (None, [f"{path}: " + str(_error(path)).split(": ", 1)[1]])


def _error(path: Path) -> FileError:
    with pytest.raises(FileError) as refusal:
        verify_checkpoint(path)
    return refusal.value


class Canary:
    """A pickle of this runs a command when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: {"diptych": c}, lambda c: {"state_dict": {"x": c}}])
def test_hostile_checkpoints_run_nothing(wrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:  # noqa: ANN001
    from diptych.cli import main

    canary = tmp_path / "CANARY"
    for name in ("last.ckpt", "net.pth"):
        torch.save(wrap(Canary(canary)), tmp_path / name)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, f"run_dir={tmp_path / 'run'}", f"resume={tmp_path / 'last.ckpt'}")
    assert stop.value.code == 5
    for name in ("last.ckpt", "net.pth"):
        assert main(["describe", str(tmp_path / name)]) == 5
    assert capfd.readouterr().err.count("error: ") == 3
    assert not canary.exists()


def test_a_second_run_into_a_folder_is_refused(tmp_path: Path) -> None:
    imports = "from pathlib import Path; from diptych.training.lock import lock_run"
    code = f"{imports}\nwith lock_run(Path({str(tmp_path)!r})): pass"
    with lock_run(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"in use by pid {os.getpid()} on host {socket.gethostname()}" in other.stderr
    killed = f"{code.removesuffix('pass')}import os; os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    assert (tmp_path / ".holder").exists()
    with lock_run(tmp_path):  # the dead process's lock is stale
        pass
    assert not (tmp_path / ".holder").exists()


def spoil_batch(monkeypatch: pytest.MonkeyPatch, iterations: set[int]) -> None:
    original = CycleGAN.render

    def render(self: CycleGAN, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images = original(self, batch)
        spoilt = self.iteration + 1 in iterations
        return images | {"fake_b": images["fake_b"] * float("nan")} if spoilt else images

    monkeypatch.setattr(CycleGAN, "render", render)


def is_finite(run_dir: Path) -> bool:
    return all(bool(value.isfinite().all()) for value in load(run_dir)["state_dict"].values())


def test_a_nan_stops_before_the_update(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    spoil_batch(monkeypatch, {5})
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run"), *WHOLE)
    assert stop.value.code == 3
    told = capfd.readouterr().err
    assert re.search(r"error: gradients are not finite in iteration 5 \(images: \S+trainA\S+, \S+trainB\S+\); ", told)
    assert "the last checkpoint is" in told
    assert load(tmp_path / "run")["diptych"]["iteration"] == 4
    assert is_finite(tmp_path / "run")


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_nan_is_skipped_or_rolled_back(
    policy: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    spoil_batch(monkeypatch, {6})
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE, f"callbacks.guard.on_nonfinite={policy}"]
    run(monkeypatch, *overrides)
    assert f"not finite in iteration 6 (images: {tiny_data}/trainA/" in capfd.readouterr().out
    assert is_finite(tmp_path / "run")
    assert len(read_rows(tmp_path / "run")) == 10


def test_endless_nans_stop_all_the_same(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_batch(monkeypatch, set(range(3, 11)))
    guard = ["callbacks.guard.on_nonfinite=skip", "+callbacks.guard.limit=4"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run"), *WHOLE, *guard)
    assert stop.value.code == 3


TARGETS = [
    "os.system",
    "builtins.open",
    "numpy.f2py.crackfortran.myeval",
    "torch.load",
    "torch.hub.load",
    "torch.utils.cpp_extension.load_inline",
    "pytorch_lightning.trainer.trainer.os.remove",
    "diptych.training.checkpoint_files.os.system",
    "diptych.training.checkpoint_files.clear_leftovers",
    "torch.nn.modules.module.warnings.warn",
]


@pytest.mark.parametrize("target", TARGETS)
def test_recipes_name_only_classes_of_known_packages(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, f"run_dir={tmp_path / 'run'}", f"method.adversarial._target_={target}")
    assert stop.value.code == 2
    assert f"method.adversarial._target_ = {target!r}: is not allowed" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_nothing_is_instantiated_from_a_checkpoint(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `_target_` or `_instantiator` in the file is data, and differs from the recipe at most."""
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *WHOLE, "trainer.limit_train_batches=1"]
    run(monkeypatch, *overrides)
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = verify_checkpoint(path)
    content["diptych"]["recipe"]["method"]["_target_"] = "os.system"
    content["hyper_parameters"] = {"_instantiator": "os.system", "command": f"touch {tmp_path / 'CANARY'}"}
    torch.save(content, path)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *overrides, "resume=auto")
    assert stop.value.code == 2
    (tmp_path / "run" / "finished").unlink()
    run(monkeypatch, *overrides, "resume=auto", "resume_changes=allow")
    assert not (tmp_path / "CANARY").exists()


def test_errors_carry_their_exit_codes() -> None:
    assert (UserError.exit_code, FileError.exit_code, MachineError.exit_code) == (2, 5, 6)
    assert (ROOT / "src" / "diptych" / "errors.py").is_file()
