"""Files written whole or not at all, and the folder for what can be made again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


def find_cache() -> Path:
    """Return the folder for what can be made again: `diptych` below $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "diptych"
