"""Unpacking what others packed: plain files inside one folder, within limits, and all of them or none.

Nothing that an archive says of itself is believed: sizes are counted while writing, paths are taken apart, modes are
not applied. What is not a plain file (a link, a device) makes the whole archive suspect.
"""

import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from diptych.data.members import Member, explain_damage, list_members
from diptych.errors import DataError, MachineError

_CHUNK = 2**20
_HARMLESS = 2**20  # bytes that may be unpacked whatever the ratio: a small archive of blank images is no bomb
_JUNK = {".DS_Store", "Thumbs.db", "desktop.ini"}

Place = Callable[[PurePosixPath], PurePosixPath | None]
Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Limits:
    """What an archive may grow to; beyond it is taken for a bomb."""

    total: int = 100 * 2**30  # bytes unpacked
    ratio: int = 200  # bytes unpacked for each byte of the archive
    members: int = 1_000_000
    path: int = 512  # characters


@contextmanager
def growing(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder` at the end; nothing of it remains if there is an error.

    Two processes must not do so at once for the same folder: what is found of the temporary one is a dead one's.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder}: there is something in it already; empty it or choose another folder")
    fresh = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        yield fresh
        if folder.is_dir():
            folder.rmdir()
        fresh.rename(folder)
    except OSError as error:
        raise MachineError(f"{error.filename or folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def extract(
    archive: Path,
    folder: Path,
    limits: Limits | None = None,
    place: Place = lambda path: path,
    report: Report = lambda written, total: None,
) -> None:
    """Unpack a zip or tar archive into a new folder; `place` says where in it a member goes, or None to leave it out.

    `report` is told the bytes written and how many the archive announces, where its kind announces any.
    """
    with growing(folder) as fresh:
        space = _Space(archive, limits or Limits(), report)
        taken: set[str] = set()
        for number, member in enumerate(list_members(archive), start=1):
            if number == 1:
                _check_disk(folder, member.announced)
            space.check_count(number)
            target = _choose(archive, member, space.limits, place)
            if target is None:
                continue
            name = unicodedata.normalize("NFC", str(target)).casefold()
            if name in taken:  # on some file systems the second would overwrite the first
                raise DataError(f"{archive}: {member.name!r} is in it twice, perhaps with other capitals")
            taken.add(name)
            _write(archive, member, fresh / target, space)
        if not taken:
            raise DataError(f"{archive}: there is nothing in it that is wanted; is it the right archive?")


class _Space:
    """The bytes that may still be written."""

    def __init__(self, archive: Path, limits: Limits, report: Report) -> None:
        self.archive, self.limits, self.report = archive, limits, report
        self.packed = archive.stat().st_size
        self.written = 0

    def check_count(self, members: int) -> None:
        if members > self.limits.members:
            raise DataError(f"{self.archive}: more than {self.limits.members} files are in it; it is not unpacked")

    def take(self, size: int, announced: int | None) -> None:
        self.written += size
        if self.written > self.limits.total:
            raise DataError(f"{self.archive}: unpacks to more than {self.limits.total} bytes; it is not unpacked")
        if self.written > max(_HARMLESS, self.limits.ratio * self.packed):
            raise DataError(
                f"{self.archive}: unpacks to more than {self.limits.ratio} times its size; it is not unpacked"
            )
        self.report(self.written, announced)


def _check_disk(folder: Path, announced: int | None) -> None:
    free = shutil.disk_usage(folder.parent).free
    if announced is not None and announced > free:
        raise MachineError(f"{folder.parent}: {announced} bytes are to be unpacked and {free} are free; make room")


def _choose(archive: Path, member: Member, limits: Limits, place: Place) -> PurePosixPath | None:
    path = _check_path(archive, member.name, limits)
    if "__MACOSX" in path.parts or path.name in _JUNK or path.name.startswith("._"):
        return None
    if member.kind not in ("file", "folder"):
        raise DataError(f"{archive}: {member.name!r} is {member.kind}, not a plain file; it is not unpacked")
    return place(path) if member.kind == "file" else None


def _check_path(archive: Path, name: str, limits: Limits) -> PurePosixPath:
    plain = name.replace("\\", "/")  # some programs write the separators of Windows
    if len(plain) > limits.path:
        raise DataError(
            f"{archive}: {name[:40]!r}… is a path of more than {limits.path} characters; it is not unpacked"
        )
    if plain.startswith("/") or re.match("[A-Za-z]:", plain) or ".." in plain.split("/"):
        raise DataError(f"{archive}: {name!r} lies outside of the folder; it is not unpacked")
    if any(unicodedata.category(letter) == "Cc" for letter in plain):
        raise DataError(f"{archive}: {name!r} has control characters in its name; it is not unpacked")
    return PurePosixPath(plain)


def _write(archive: Path, member: Member, path: Path, space: _Space) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = path.open("xb")  # with the permissions that the user's new files have
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"{archive}: {member.name!r} is both a file and a folder, or in it twice") from error
    with explain_damage(archive):
        source = member.open()
    with sink, source:
        while chunk := _read(archive, source):
            space.take(len(chunk), member.announced)
            sink.write(chunk)


def _read(archive: Path, source: IO[bytes]) -> bytes:
    with explain_damage(archive):
        return source.read(_CHUNK)
