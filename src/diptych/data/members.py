"""What is in a zip or tar archive, one member after another, the same way for both."""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from diptych.errors import DataError

_LARGEST_READ = 2**24  # bytes: no header of an honest tar is longer
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True)
class Member:
    """A file or folder in an archive; `kind` says what it is instead, if it is neither."""

    name: str
    kind: str
    announced: int | None  # bytes that all members together are said to have
    open: Callable[[], IO[bytes]]


@contextmanager
def explain_damage(archive: Path) -> Iterator[None]:
    """Turn the many errors of the libraries into one line."""
    try:
        yield
    except _DAMAGE as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive}: damaged or incomplete ({told})") from error


def list_members(archive: Path) -> Iterator[Member]:
    """Yield the members in the archive's order; each must be read before the next is asked for."""
    with archive.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK"):
        return _list_zip(archive)
    streams: dict[bytes, Callable[[Path], Any]] = {
        b"\x1f\x8b": gzip.GzipFile,
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ\x00": lzma.LZMAFile,
    }
    for magic, stream in streams.items():
        if head.startswith(magic):
            return _list_tar(archive, stream)
    if head[257:262] == b"ustar":
        return _list_tar(archive, lambda path: path.open("rb"))
    raise DataError(f"{archive}: neither a zip nor a tar archive")


def _list_zip(archive: Path) -> Iterator[Member]:
    with explain_damage(archive), zipfile.ZipFile(archive) as opened:
        announced = sum(info.file_size for info in opened.infolist())
        for info in opened.infolist():
            if info.flag_bits & 1:
                raise DataError(f"{archive}: {info.filename!r} is encrypted; it is not unpacked")
            yield Member(info.filename, _name_zip_kind(info), announced, partial(_open_zip_file, opened, info))


def _open_zip_file(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    return opened.open(info)


def _name_zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16  # what Unix keeps there; other systems leave it 0
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a device"
    return "folder" if info.filename.endswith(("/", "\\")) else "file"


class _Bounded:
    """A stream that is not read in pieces so large that a lying header would fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close
        self._read = stream.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._read(size)


def _list_tar(archive: Path, stream: Callable[[Path], Any]) -> Iterator[Member]:
    with explain_damage(archive), stream(archive) as file:
        bounded: Any = _Bounded(file)
        with tarfile.open(fileobj=bounded, mode="r:") as opened:
            for info in opened:
                yield Member(info.name, _name_tar_kind(info), None, partial(_open_tar_file, opened, info))
            file.seek(opened.offset)
            if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise tarfile.ReadError("its end is missing")  # tarfile itself takes this for the end


def _open_tar_file(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], opened.extractfile(info))


def _name_tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "a symbolic link"
    if info.islnk():
        return "a hard link"
    if info.isreg() and not info.issparse():
        return "file"
    return "folder" if info.isdir() else "a device or something special"
