"""Images decoded and brought to size once: one memory-mapped file each, shared by workers, processes and runs."""

import hashlib
import io
import shutil
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from diptych.images import Form, read_size

_VERSION = 2  # of decoding and of these files: an image that would now be decoded differently needs another number
_SPARE = 2**30  # bytes that a cache leaves free on its disk
_STALE = 24 * 3600  # seconds after which a temporary file belongs to nobody
_CHECKSUM = 4  # bytes
_CHUNK = 2**20  # bytes that are read at a time
_SAMPLE = 16  # images whose headers tell how large the others will be


class PixelCache:
    """Prepared images, keyed by file, modification time, size, and the words of their preparation.

    A file appears whole or not at all, so that runs may build it at once and be killed at any moment; the checksum of
    all of it is compared when a process first reads it, and what is damaged is made again, and counted. A process
    writes no more than its `budget` of bytes.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = budget
        self.damaged = 0
        self._verified: set[str] = set()

    def load(self, path: Path, words: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what `make` returns, from the cache if it is there."""
        target = self._find(path, words)
        cached = self._read(target)
        if cached is None:
            cached = make()
            self._write(target, cached)
        return cached

    def holds(self, path: Path, words: str) -> bool:
        """Whether the image need not be decoded."""
        try:
            return self._find(path, words).is_file()
        except OSError:  # the image itself is not there; decoding will say so
            return False

    def _find(self, path: Path, words: str) -> Path:
        status = path.stat()
        text = f"{_VERSION} {path.resolve()} {status.st_mtime_ns} {status.st_size} {words}"
        key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / key[:2] / f"{key[2:]}.npy"

    def _read(self, target: Path) -> Tensor | None:
        """Return the mapped pixels, or None when the file is absent or damaged."""
        try:
            if target.name not in self._verified and not _is_whole(target):
                self.damaged += 1
                return None
            pixels = torch.from_numpy(np.load(target, mmap_mode="c", allow_pickle=False))
        except OSError:
            return None
        except Exception:  # whatever NumPy and Python's parser say to a file that was damaged after it was verified
            self.damaged += 1
            return None
        self._verified.add(target.name)
        return pixels

    def _write(self, target: Path, pixels: Tensor) -> None:
        """Add a file while there is budget; a disk that refuses ends writing, not the run."""
        array = pixels.numpy()
        if self.budget < array.nbytes:
            return
        temporary = target.with_name(f".{uuid4().hex}.tmp")
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                file.write(_to_bytes(zlib.crc32(content.getbuffer())))
            temporary.replace(target)
            self.budget -= array.nbytes
        except OSError:
            self.budget = 0
            with suppress(OSError):
                temporary.unlink()

    def make_room(self, need: int, limit: int) -> int:
        """Remove what was used longest ago until `need` bytes fit below the limit; return what may be added."""
        entries = []
        for path in self.folder.glob("??/*"):
            try:
                status = path.stat()
                if path.suffix == ".tmp" and status.st_mtime < time.time() - _STALE:
                    path.unlink()
                elif path.suffix == ".npy":
                    entries.append((max(status.st_atime, status.st_mtime), status.st_size, path))
            except OSError:  # another run removed it first
                continue
        used = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if used + need <= limit:
                break
            path.unlink(missing_ok=True)
            used -= size
        return max(0, min(limit - used, _measure_free(self.folder) - _SPARE))


def estimate_bytes(paths: list[Path], form: Form, fixed: tuple[int, int] | None) -> int:
    """Return about how many bytes the prepared images take, `fixed` (height, width) or as large as the files say."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    sizes = [fixed] if fixed else [read_size(path, form) for path in sample]
    pixels = sum(height * width for height, width in sizes) / len(sizes)
    return int(pixels * form.channels * (4 if form.holds_numbers else 1)) * len(paths)


def _is_whole(path: Path) -> bool:
    """Whether the checksum at a file's end is that of all before it."""
    with path.open("rb") as file:
        left, checksum = path.stat().st_size - _CHECKSUM, 0
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            left, checksum = left - len(chunk), zlib.crc32(chunk, checksum)
        return left == 0 and file.read() == _to_bytes(checksum)


def _to_bytes(checksum: int) -> bytes:
    return checksum.to_bytes(_CHECKSUM, "little")


def _measure_free(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
