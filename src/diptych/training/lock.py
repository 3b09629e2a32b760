"""One run per folder: a lock that names its holder and dies with it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from diptych.errors import MachineError, UserError
from diptych.files import write_text

_LOCK, _HOLDER = ".lock", ".holder"
OF_THE_LOCK = (_LOCK, _HOLDER)
"""The files by which a run holds its folder."""


@contextmanager
def lock_run(run_dir: Path, job: str = "") -> Iterator[None]:
    """Hold the run folder for a `job`; `UserError` names the process, host and job that hold it already.

    The operating system frees the lock of a process that has died, so a stale one never refuses a run.
    """
    holder = run_dir / _HOLDER
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        who = holder.read_text().strip() if holder.is_file() else "another process"
        raise UserError(f"{run_dir}: in use by {who}; choose another run_dir or stop that run") from None
    except OSError as error:
        raise MachineError(f"{run_dir}: the run folder cannot be written ({error.strerror or error})") from None
    try:
        write_text(holder, f"pid {os.getpid()} on host {socket.gethostname()}{job and f' ({job})'}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def forgotten_unused(folder: Path) -> Iterator[None]:
    """Take the run folder away again, and what was made above it, where a run writes nothing there before it fails."""
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        yield
    except BaseException:
        with suppress(OSError, Timeout):  # somebody else's lock, or a file that came this moment
            if [path.name for path in folder.iterdir()] == [_LOCK]:
                with FileLock(folder / _LOCK, timeout=0):
                    (folder / _LOCK).unlink()
            for path in made:
                path.rmdir()
        raise
