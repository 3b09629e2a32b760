"""What Pillow lets pass in a damaged PNG file: wrong checksums of pixel data, and rows that are missing."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_SIGNATURE = 8
_PIECE = 2**20  # bytes that are read and decompressed at a time: a chunk may claim 4 GB, and unpack to far more
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by colour type


def check_checksums(path: Path) -> None:
    """Raise `ValueError` for a chunk that any image needs and that is not as it was written."""
    found = None
    for name, piece, checksum in _read_pieces(path):
        found = zlib.crc32(piece, zlib.crc32(name) if found is None else found)
        if checksum is not None:
            if name[:1].isupper() and found != checksum:
                raise ValueError(f"damaged: the checksum of its {name.decode('latin-1')} chunk is wrong")
            found = None


def check_rows(path: Path) -> None:
    """Raise `ValueError` where fewer rows are stored than the header claims; costs a second decompression.

    What would be unpacked beyond them is left alone.
    """
    pieces = _read_pieces(path)
    header = next((piece for name, piece, _ in pieces if name == b"IHDR"), b"")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    row = 1 + (width * _SAMPLES[kind] * depth + 7) // 8
    stored = 0 if interlaced else _count((piece for name, piece, _ in pieces if name == b"IDAT"), row * height)
    if not interlaced and stored < row * height:
        raise ValueError(f"truncated: it holds {stored // row} of {height} rows")


def _count(pieces: Iterable[bytes], most: int) -> int:
    """Return how many bytes the pieces unpack to, as far as `most`."""
    stream, stored = zlib.decompressobj(), 0
    for piece in pieces:
        rest = piece
        while stored < most:
            unpacked = stream.decompress(rest, min(_PIECE, most - stored))
            rest = stream.unconsumed_tail
            stored += len(unpacked)
            if not unpacked and not rest:
                break
    return stored


def _read_pieces(path: Path) -> Iterator[tuple[bytes, bytes, int | None]]:
    """Yield a chunk's name with each piece of it, and with the last piece its checksum."""
    with path.open("rb") as file:
        file.seek(_SIGNATURE)
        while len(head := file.read(8)) == 8:
            left, name = struct.unpack(">I4s", head)
            while left > _PIECE and (piece := file.read(_PIECE)):
                left -= len(piece)
                yield name, piece, None
            piece, tail = file.read(min(left, _PIECE)), file.read(4)
            if len(tail) < 4:
                return  # decoding says that it is cut off
            yield name, piece, struct.unpack(">I", tail)[0]
            if name == b"IEND":
                return
