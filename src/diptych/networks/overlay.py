"""A file with something after its end, which is in memory alone."""

import io
from typing import IO


class Overlay(io.RawIOBase):
    """Reads a file and what was written after it as one; the file stays as it is."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size, self._more, self._place = file, size, bytearray(), size

    def readable(self) -> bool:
        """Say yes."""
        return True

    def writable(self) -> bool:
        """Say yes: behind the end."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the place of what is read next."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size + len(self._more)}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill the buffer as far as there is something."""
        wanted, place = len(buffer), self._place
        self._file.seek(place)
        content = self._file.read(min(wanted, self._size - place)) if place < self._size else b""
        behind = max(0, place - self._size)
        content += self._more[behind : behind + wanted - len(content)]
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def write(self, content: bytes) -> int:  # type: ignore[override]
        """Put something behind all that there is."""
        self._more += content
        self._place = self._size + len(self._more)
        return len(content)
