"""Signals as terminals, `timeout`, systemd and SLURM send them: to every process of a run, workers included."""

import fcntl
import multiprocessing
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import sweep
from test_processes import list_session
from test_resume import WHOLE, assert_same_end
from test_train import ROOT, load, make_overrides, run
from torch.utils.data import Dataset

from diptych.data.loader import ShieldedLoader
from diptych.signals import CODES, give_back, stop_at_once, take_signals

pytestmark = [pytest.mark.reliability, pytest.mark.slow]
PATIENCE = 120
RECIPE = [*WHOLE, "method.schedule.epochs=12", "callbacks.checkpoint.every=0"]
RECIPE += ["generator.blocks=9"]  # batches that last long enough for a signal to come between two


def take_terminal(slave: int) -> None:
    """Be told when the terminal is closed, although whoever runs the tests may be kept from it by nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


class Run:
    """A real run in a session of its own, on a pseudo-terminal where one is wanted, and all that it says."""

    def __init__(self, *overrides: str, terminal: bool = False, prefix: tuple[str, ...] = ()) -> None:
        self.told = b""
        self.master, slave = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "train.py", *overrides],
            cwd=ROOT,
            stdin=slave if terminal else subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=(lambda: take_terminal(slave)) if terminal else None,
        )
        os.close(slave)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        """Read when there is something: a read that waits would keep the terminal open when it is closed."""
        try:
            while True:
                if select.select([self.master], [], [], 0.05)[0]:
                    if not (piece := os.read(self.master, 1 << 16)):
                        return
                    self.told += piece
        except (OSError, ValueError):  # a terminal whose processes are gone, or that was closed
            pass

    def close_terminal(self) -> None:
        master, self.master = self.master, -1
        os.close(master)

    def wait_until(self, arrived: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not arrived():
            assert self.process.poll() is None, self.told.decode()
            assert time.monotonic() < deadline, self.told.decode()
            time.sleep(0.005)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said. No process may be left, and no traceback."""
        code = self.process.wait(PATIENCE)
        deadline = time.monotonic() + 15
        while (left := list_session(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.reader.join(5)
        told = self.told.decode()
        assert left == [], told
        assert "Traceback" not in told
        assert "Exception ignored" not in told
        assert "killed by signal" not in told
        return code, told


def has_rows(run_dir: Path, count: int) -> bool:
    metrics = run_dir / "metrics.csv"
    return metrics.is_file() and len(metrics.read_text().splitlines()) > count


@pytest.fixture(scope="module")
def uninterrupted(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, *make_overrides(tiny_data, run_dir), *RECIPE)
    yield run_dir


def send(name: str) -> Callable[[Run], None]:
    return lambda run: os.killpg(run.process.pid, signal.Signals[name])


def press(keys: bytes) -> Callable[[Run], None]:
    return lambda run: os.write(run.master, keys) and None


WAYS: dict[str, tuple[Callable[[Run], None], int]] = {
    "SIGTERM": (send("SIGTERM"), 143),
    "SIGINT": (send("SIGINT"), 130),
    "SIGUSR1": (send("SIGUSR1"), 143),
    "SIGHUP": (send("SIGHUP"), 129),
    "Ctrl-C": (press(b"\x03"), 130),
    "closed": (Run.close_terminal, 129),
}
CASES = [f"{way} {workers}" for way in WAYS for workers in (0, 1, 4)]


@pytest.mark.parametrize("case", sweep(CASES, {"Ctrl-C 4", "closed 1"}))
def test_a_signal_to_every_process_stops_after_the_batch(
    case: str, uninterrupted: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, workers = case.split()
    signal_now, code = WAYS[way]
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *RECIPE]
    stopped = Run(*overrides, f"data.workers={workers}", terminal=way in ("Ctrl-C", "closed"))
    stopped.wait_until(lambda: has_rows(tmp_path / "run", 2))
    signal_now(stopped)
    assert (ended := stopped.end())[0] == code, ended
    if way != "closed":
        assert ended[1].count("stopping after this batch") == 1
    assert 0 < load(tmp_path / "run")["diptych"]["iteration"] < 65
    run(monkeypatch, *overrides, "resume=auto")
    assert_same_end(uninterrupted, tmp_path / "run")


@pytest.mark.parametrize("case", sweep(["Ctrl-C 0", "Ctrl-C 1", "Ctrl-C 4", "SIGTERM 0", "SIGTERM 4"], {"Ctrl-C 4"}))
def test_twice_in_a_row(case: str, tiny_data: Path, tmp_path: Path) -> None:
    way, workers = case.split()
    signal_now, code = WAYS[way]
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *RECIPE, "method.schedule.epochs=100000"]
    stopped = Run(*overrides, f"data.workers={workers}", terminal=way == "Ctrl-C")
    stopped.wait_until(lambda: has_rows(tmp_path / "run", 2))
    signal_now(stopped)
    time.sleep(0.01)
    signal_now(stopped)
    assert (ended := stopped.end())[0] == code, ended


SETUP = {
    "imports": lambda run, run_dir: time.sleep(0.3),
    "lock": lambda run, run_dir: run.wait_until((run_dir / ".holder").exists),
    "fit": lambda run, run_dir: run.wait_until((run_dir / "metrics.csv").exists),
}
EARLY = [f"{moment} {way} {workers}" for moment in SETUP for way in ("SIGTERM", "Ctrl-C") for workers in (0, 4)]


@pytest.mark.parametrize("case", sweep(EARLY, {"imports SIGTERM 0", "fit SIGTERM 4"}))
def test_before_the_first_batch(case: str, tiny_data: Path, tmp_path: Path) -> None:
    moment, way, workers = case.split()
    signal_now, code = WAYS[way]
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *RECIPE, "method.schedule.epochs=100000"]
    stopped = Run(*overrides, f"data.workers={workers}", terminal=way == "Ctrl-C")
    SETUP[moment](stopped, tmp_path / "run")
    signal_now(stopped)
    assert (ended := stopped.end())[0] == code, ended
    assert ("stopped by" in ended[1]) != ("stopping after" in ended[1])


def test_timeout_gets_a_checkpoint(tiny_data: Path, tmp_path: Path) -> None:
    """`timeout` signals its child and then the whole group, so that one signal comes twice."""
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *RECIPE, "method.schedule.epochs=100000"]
    stopped = Run(*overrides, "data.workers=4", prefix=("timeout", "-s", "TERM", "1000"))
    stopped.wait_until(lambda: has_rows(tmp_path / "run", 2))
    stopped.process.terminate()
    ended = stopped.end()
    assert ended[1].count("stopping after this batch") == 1
    assert load(tmp_path / "run")["diptych"]["iteration"] > 0


def test_no_worker_outlives_a_killed_parent(tiny_data: Path, tmp_path: Path) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *RECIPE, "method.schedule.epochs=100000"]
    killed = Run(*overrides, "data.workers=4")
    killed.wait_until(lambda: has_rows(tmp_path / "run", 2))
    assert len(list_session(killed.process.pid)) >= 5
    killed.process.kill()
    assert killed.end()[0] == -signal.SIGKILL


class Slow(Dataset[int]):
    """Items that take longer than anybody waits."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> int:
        time.sleep(0 if index == 0 else 3 * PATIENCE)
        return index


def test_a_busy_worker_obeys_its_parent_and_nobody_else() -> None:
    iterator = iter(ShieldedLoader(Slow(), num_workers=1, batch_size=1))
    assert int(next(iterator)) == 0
    (worker,) = multiprocessing.active_children()
    for number in CODES:
        subprocess.run(["kill", f"-{int(number)}", str(worker.pid)], check=True)
    worker.join(1)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_hang_ups_stay_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        taken = take_signals(stop_at_once)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is stop_at_once
        give_back(taken)
    finally:
        signal.signal(signal.SIGHUP, before)
