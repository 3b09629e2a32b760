"""Signals that ask a run to stop: obeyed at once, unless somebody takes them over who has something to finish first."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from types import FrameType
from typing import Any

_NAMES = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 143, "SIGHUP": 129}
CODES = {signal.Signals[name]: code for name, code in _NAMES.items() if hasattr(signal, name)}
"""The signals that stop a run, with its exit code; USR1 is SLURM's warning, HUP a closed terminal's."""

Handler = Callable[[int, FrameType | None], None]


_leaving = False


def take_signals(handler: Handler) -> dict[int, Any]:
    """Let `handler` have every such signal; return who had them. HUP stays ignored where nohup wants it so."""
    global _leaving
    _leaving = False
    before: dict[int, Any] = {number: signal.getsignal(number) for number in CODES}
    for number in CODES:
        if number != getattr(signal, "SIGHUP", None) or before[number] != signal.SIG_IGN:
            signal.signal(number, handler)
    return before


def give_back(before: dict[int, Any]) -> None:
    """Undo `take_signals`."""
    for number, handler in before.items():
        signal.signal(number, handler)


def write_line(text: str) -> None:
    """Write a line to the standard error from a handler: it may interrupt a `print`, and the terminal may be gone."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


def stop_at_once(number: int, frame: FrameType | None = None) -> None:
    """End the process in order; while that lasts, one more Ctrl-C ends it without, and nothing else is heard."""
    global _leaving
    if _leaving:
        if number == signal.SIGINT:
            os._exit(CODES[signal.SIGINT])
        return
    _leaving = True
    name = signal.Signals(number).name
    write_line(f"stopped by {name}; resume=auto goes on from the newest checkpoint, or begins anew")
    sys.exit(CODES[signal.Signals(number)])


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Start processes here that are deaf to such signals from their first moment: they inherit what is blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CODES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_parent(*_: object) -> None:
    """Let a process that was started with signals blocked end when its parent says so, and nobody else.

    A terminal, `timeout`, systemd and SLURM send a signal to every process; the parent knows when work is done.
    """
    parent = parent_process()
    if parent is None or not hasattr(signal, "sigwaitinfo"):
        return

    def wait() -> None:
        while signal.sigwaitinfo(CODES).si_pid != parent.pid:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
