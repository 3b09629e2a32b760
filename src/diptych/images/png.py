"""What Pillow lets pass in a damaged PNG file: wrong checksums of pixel data, and rows that are missing."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_SIGNATURE = 8
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by colour type


def check_checksums(path: Path) -> None:
    """Raise `ValueError` for a chunk that any image needs and that is not as it was written."""
    for name, data, checksum in _read_chunks(path):
        if name[:1].isupper() and zlib.crc32(name + data) != checksum:
            raise ValueError(f"damaged: the checksum of its {name.decode('latin-1')} chunk is wrong")


def check_rows(path: Path) -> None:
    """Raise `ValueError` where fewer rows are stored than the header claims; costs a second decompression."""
    header, stream = b"", zlib.decompressobj()
    stored = 0
    for name, data, _ in _read_chunks(path):
        if name == b"IHDR":
            header = data
        elif name == b"IDAT":
            stored += len(stream.decompress(data))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    row = 1 + (width * _SAMPLES[kind] * depth + 7) // 8
    if not interlaced and stored < row * height:
        raise ValueError(f"truncated: it holds {stored // row} of {height} rows")


def _read_chunks(path: Path) -> Iterator[tuple[bytes, bytes, int]]:
    with path.open("rb") as file:
        file.seek(_SIGNATURE)
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            data, tail = file.read(size), file.read(4)
            if len(tail) < 4:
                return  # decoding says that it is cut off
            yield name, data, struct.unpack(">I", tail)[0]
            if name == b"IEND":
                return
