"""Files written whole or not at all, and the folder for what can be made again."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from diptych.errors import MachineError


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, of the same suffix, which takes its place when the block ends well.

    Nothing half-written remains; `MachineError` names the file where the system refuses.
    """
    temporary = path.with_name(f".{uuid4().hex[:12]}.tmp{path.suffix}")  # its own: two processes may write one file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written ({error.strerror or error})") from None


def require_writable(folder: Path, file: Path | None = None) -> None:
    """Raise `MachineError` where a folder, which may have to be made first, or a file in it cannot be written."""
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    reason = "" if os.access(place, os.W_OK | os.X_OK) else "Permission denied"
    reason = reason if place.is_dir() else f"{place} is no folder"
    if file is not None and file.is_dir():
        reason = "it is a folder"
    if reason:
        raise MachineError(f"{file or folder}: cannot be written ({reason})")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with write_whole(path) as temporary:
        temporary.write_text(text)


def open_own(path: Path, mode: str, **options: Any) -> IO[Any]:
    """Open a file that a run has written, to read it or to add to it; `MachineError` where that cannot be.

    A link is refused, for in somebody's run folder it may lead to any file of whoever goes on with that run, and so is
    what is no file: a pipe would be waited for for ever.
    """
    try:
        opened = open(path, mode, opener=_open_here, **options)  # noqa: SIM115
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            opened.close()
            raise OSError("it is no regular file")
    except OSError as error:
        reason = "it is a link to elsewhere; take it away" if path.is_symlink() else error.strerror or error
        raise MachineError(f"{path}: cannot be {'read' if mode.startswith('r') else 'written'} ({reason})") from None
    return opened


def _open_here(path: str, flags: int) -> int:
    """Open what the path names itself, at once (where the system can)."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def find_cache() -> Path:
    """Return the folder for what can be made again: `diptych` below $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "diptych"
