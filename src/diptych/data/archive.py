"""Unpacking what others packed: only plain files, only inside the folder, and within limits.

Nothing that an archive says of itself is believed: bytes are counted while they are written, and modes are not applied.
"""

import errno
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from diptych.errors import DataError, name_reason

_CHUNK = 2**16  # bytes that are read at once, be it of a member or of what an archive says of one
_LONGEST = 1024  # characters of a name
_HARMLESS = 2**20  # bytes that may be unpacked whatever the ratio: a small archive of blank images is no bomb
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError)
_REFUSALS = (DataError, ValueError, RuntimeError, OverflowError, MemoryError)  # ours, and those of headers that lie
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)  # no fault of the archive's

Member = tuple[str, Callable[[], Any] | None]  # its name, and how to open it if it is a file


def extract(
    archive: Path,
    folder: Path,
    place: Callable[[PurePosixPath], PurePosixPath | None] = lambda path: path,
    *,
    max_size: int = 100 * 2**30,
    max_ratio: int = 200,
    max_members: int = 1_000_000,
) -> None:
    """Unpack a zip or tar archive; `place` says where in the folder a file goes, or None to leave it out.

    What was unpacked before something turned out to be wrong remains: the folder is the caller's to remove.
    """
    quota = min(max_size, max(_HARMLESS, max_ratio * archive.stat().st_size))
    taken: set[str] = set()
    try:
        for number, (name, open_member) in enumerate(_list_members(archive), start=1):
            if number > max_members:
                raise DataError(f"there are more than {max_members} files in it")
            target = place(_check_path(name))
            if open_member is None or target is None or target.name.startswith("."):  # hidden: what macOS adds
                continue
            key = unicodedata.normalize("NFC", str(target)).casefold()
            if key in taken:  # on some file systems the second would overwrite the first
                raise DataError(f"{name!r} is in it twice, perhaps with other capitals")
            taken.add(key)
            with open_member() as source:
                quota -= _write(source, folder / target, quota)
        if not taken:
            raise DataError("there is nothing in it that is wanted")
    except (*_DAMAGE, *_REFUSALS, OSError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        raise DataError(f"{archive} cannot be unpacked: {name_reason(error)}") from error


def _list_members(archive: Path) -> Iterator[Member]:
    if _is_tar(archive):
        return _list_tar(archive)
    if zipfile.is_zipfile(archive):
        return _list_zip(archive)
    raise DataError("it is neither a zip nor a tar archive, or not a whole one")


def _is_tar(archive: Path) -> bool:
    try:
        with archive.open("rb") as packed, _BoundedTar.open(fileobj=packed):
            return True
    except tarfile.TarError:
        return False


def _list_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # what Unix keeps there; other systems leave it 0
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise DataError(f"{info.filename!r} is encrypted")
            yield info.filename, None if info.is_dir() else partial(opened.open, info)


class _Bounded:
    """A file that refuses large reads: tarfile would take in at once what a header claims for a name or a remark."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        if size > _CHUNK:
            raise DataError(f"a header in it claims {size} bytes")
        return self.file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class _BoundedTar(tarfile.TarFile):
    """A tar archive that is read from decompressed bytes in small pieces."""

    members: list[tarfile.TarInfo]

    def __init__(self, name: Any, mode: Any, fileobj: Any, **settings: Any) -> None:
        super().__init__(name, mode, _Bounded(fileobj), **settings)


def _list_tar(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as packed, _BoundedTar.open(fileobj=packed) as opened:
        while info := opened.next():
            opened.members.clear()  # which would grow with every member
            if not info.isreg() and not info.isdir():
                raise DataError(f"{info.name!r} is a link or a device")
            yield info.name, None if info.isdir() else partial(opened.extractfile, info)
        file: Any = opened.fileobj
        file.seek(opened.offset)
        if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise DataError("its end is missing")  # tarfile itself takes a header cut short for the end


def _check_path(name: str) -> PurePosixPath:
    if len(name) > _LONGEST:
        raise DataError(f"it has a name of {len(name)} characters")
    path = PureWindowsPath(name)  # it knows drives, and takes both separators for one
    if path.anchor or ".." in path.parts:
        raise DataError(f"{name!r} lies outside of the folder")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise DataError(f"{name!r} has control characters in its name")
    return PurePosixPath(*path.parts)


def _write(source: IO[bytes], path: Path, quota: int) -> int:
    """Write a member and return its size, which must not exceed the quota."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > quota:
                raise DataError("it unpacks to far more than its size lets expect, as a bomb would")
            sink.write(chunk)
    return size
