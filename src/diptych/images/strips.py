"""The strips and tiles of a TIFF: refused where they would unpack to more than they claim to hold."""

import lzma
import math
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tifffile import COMPRESSION

from diptych.errors import DataError
from diptych.images.form import Form

_UNPACKERS: dict[int, Callable[[], Any]] = {
    COMPRESSION.ADOBE_DEFLATE: zlib.decompressobj,
    COMPRESSION.DEFLATE: zlib.decompressobj,
    COMPRESSION.LZMA: lzma.LZMADecompressor,
}
"""Which may unpack a thousand bytes or more from one; the others multiply by 128 at the most, or say their sizes."""
_SPARE = 4096  # bytes behind a strip that encoders may leave


def require_bounded(path: Path, pages: Iterable[Any], form: Form) -> None:
    """Raise `DataError` for pages with strips or tiles that are larger than any image, or unpack to more than they are.

    tifffile unpacks a strip whole, however much that is.
    """
    for page in pages:
        if page is None:
            continue
        values = math.prod(page.chunks)
        if values > form.max_pixels * max(form.channels, 1):
            raise DataError(f"{path}: its strips or tiles have more than {form.max_pixels:,} pixels")
        if page.compression == COMPRESSION.ZSTD:
            raise DataError(f"{path}: TIFFs packed by zstandard are not read; store it with deflate or LZW")
        if make := _UNPACKERS.get(page.compression):
            limit = values * page.dtype.itemsize + _SPARE
            for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
                page.parent.filehandle.seek(offset)
                if len(_unpack(make(), page.parent.filehandle.read(length), limit + 1)) > limit:
                    raise DataError(f"{path}: a strip or tile of it unpacks to more than its pixels")


def _unpack(unpacker: Any, packed: bytes, most: int) -> bytes:
    """Return what is unpacked, up to so many bytes; what is damaged is left to be told by tifffile."""
    try:
        return unpacker.decompress(packed, most)
    except (zlib.error, lzma.LZMAError, EOFError):
        return b""
