"""Small files of a run folder: appended to row by row, and trimmed when a run goes on from an earlier point."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from diptych.errors import MachineError
from diptych.files import open_own, write_whole
from diptych.terminal import say


class CsvFile:
    """Rows by iteration; a new column rewrites the file. Lines that stay, stay byte for byte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def trim(self, iteration: int) -> None:
        """Keep what an interrupted run wrote up to this iteration, and of that what is whole; say what is not.

        A power failure may leave a file torn, or full of zeros, behind a checkpoint that is whole.
        """
        if not self.path.exists():
            self._rewrite([], ["iteration", "images_seen"])
            return
        header, *lines = self._read()
        self._columns = _split(header)
        named = "iteration" in self._columns and all(self._columns)
        numbers = [self._read_iteration(line) if named else None for line in lines]
        if not named or None in numbers:
            self._keep_damaged(numbers.count(None) + (not named))
        kept = [line for line, number in zip(lines, numbers, strict=True) if number is not None and number <= iteration]
        if not named:
            self._rewrite([], ["iteration", "images_seen"])
        elif len(kept) < len(lines):
            self._write(header + b"".join(kept))

    def append(self, row: dict[str, str]) -> None:
        """Add a row, which must have an `iteration`."""
        if new := [name for name in row if name not in self._columns]:
            self._rewrite(self._read_rows(), [*self._columns, *new])
        try:
            if not self.path.exists():
                raise FileNotFoundError(None, "it was deleted while the run wrote it")
            with open_own(self.path, "ab") as file:
                file.write(_join([row.get(name, "") for name in self._columns]))
        except OSError as error:
            raise MachineError(f"{self.path}: cannot be written ({error.strerror or error})") from None

    def _read(self) -> list[bytes]:
        """Return the file's lines as they are, the header first."""
        try:
            with open_own(self.path, "rb") as file:
                return file.read().splitlines(keepends=True) or [b""]
        except OSError as error:
            raise MachineError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def _keep_damaged(self, count: int) -> None:
        copy = self.path.with_suffix(f".damaged{self.path.suffix}")
        self._write(self.path.read_bytes(), copy)
        lines = f"{count} damaged lines are" if count > 1 else "a damaged line is"
        say(f"notice: {self.path}: {lines} left out; {copy} is the file as it was")

    def _read_iteration(self, line: bytes) -> float | None:
        """Return a line's iteration, or nothing where the line is not whole: so many numbers as there are columns."""
        values = _split(line)
        try:
            numbers = [float(value) if value else None for value in values]
        except ValueError:
            return None
        number = numbers[self._columns.index("iteration")] if len(numbers) == len(self._columns) else None
        return number if number is not None and number.is_integer() else None

    def _read_rows(self) -> list[dict[str, str]]:
        lines = self._read()[1:] if self.path.exists() else []
        return [dict(zip(self._columns, _split(line), strict=True)) for line in lines]

    def _rewrite(self, rows: Sequence[dict[str, str]], columns: list[str]) -> None:
        self._columns = columns
        self._write(_join(columns) + b"".join(_join([row.get(name, "") for name in columns]) for row in rows))

    def _write(self, content: bytes, path: Path | None = None) -> None:
        with write_whole(path or self.path) as temporary:
            temporary.write_bytes(content)


def _join(values: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def _split(line: bytes) -> list[str]:
    """Return a line's values; none where it was torn or is no text."""
    if not line.endswith(b"\n") or b"\0" in line:
        return []
    try:
        return next(csv.reader([line.decode().rstrip("\r\n")], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []
