"""A run's log file: what the terminal is told, each line with its time, whatever becomes of the terminal."""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from diptych.errors import MachineError
from diptych.files import open_own
from diptych.terminal import silence
from diptych.training.explain import describe_mistake, find_mistake

_STAMP = "%Y-%m-%d %H:%M:%S"
_STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+")
_MOVES = re.compile(r"\r(?!\n)|\x1b\[[\d;?]*[A-LN-Za-ln-z]")
"""What moves the cursor draws over what was there: a display, and no line of a log."""

_open: list["RunLog"] = []


class RunLog:
    """The file, whose lines are written one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_own(path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._begun = ""

    def write(self, text: str) -> None:
        """Add text; a line gets its time when it is whole."""
        *lines, self._begun = (self._begun + _COLOUR.sub("", text)).split("\n")
        for line in filter(None, (_CONTROL.sub(" ", line).rstrip() for line in lines)):
            time = "" if _STAMPED.match(line) else f"{stamp()} "
            self._file.write(f"{time}{line}\n")

    def flush(self) -> None:
        """Do nothing: every line is written when it is whole."""

    def close(self) -> None:
        """End the last line."""
        self.write("\n")
        self._file.close()


class _Copied:
    """A stream whose text goes into the log too, and which may vanish: a closed terminal, a `tee` that was stopped."""

    def __init__(self, stream: TextIO, log: RunLog) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        if not _MOVES.search(text):
            self._log.write(text)
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, act: Any, *arguments: str) -> None:
        try:
            act(*arguments)
        except (OSError, MachineError):
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def keep_log(path: Path) -> Iterator[None]:
    """Copy into a file what is printed, warned, logged and raised here; `MachineError` where it cannot be written."""
    log = RunLog(path)
    _open.append(log)
    records = logging.StreamHandler(log)
    logging.getLogger().addHandler(records)
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(_Copied(sys.stdout, log)))
            stack.enter_context(redirect_stderr(_Copied(sys.stderr, log)))
            yield
    except Exception as error:
        mistake = find_mistake(error)
        log.write(f"error: {describe_mistake(mistake)}\n" if mistake else traceback.format_exc())
        raise
    except SystemExit as stop:
        log.write(f"stopped with exit code {stop.code}\n")
        raise
    finally:
        logging.getLogger().removeHandler(records)
        _open.remove(log)
        log.close()


def note(line: str) -> None:
    """Write a line into the log alone."""
    for log in _open:
        log.write(f"{line}\n")


def copy_stream(stream: TextIO) -> Any:
    """Return a stream that is copied into the open log."""
    return _Copied(stream, _open[-1]) if _open else stream


def stamp() -> str:
    """Return the time as the log's lines bear it."""
    return f"{datetime.now():{_STAMP}}"
