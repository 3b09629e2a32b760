"""Small files of a run folder: written whole, appended to, and trimmed when a run goes on from an earlier point."""

import csv
from pathlib import Path

from diptych.errors import MachineError
from diptych.files import write_text


class CsvFile:
    """Rows by iteration; a new column rewrites the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def trim(self, iteration: int) -> None:
        """Keep what an interrupted run wrote up to this iteration."""
        rows = [row for row in self._read() if float(row["iteration"]) <= iteration]
        self._rewrite(rows, list(rows[0]) if rows else ["iteration", "images_seen"])

    def append(self, row: dict[str, str]) -> None:
        """Add a row, which must have an `iteration`."""
        if new := [name for name in row if name not in self._columns]:
            self._rewrite(self._read(), [*self._columns, *new])
        try:
            if not self.path.exists():
                raise FileNotFoundError(None, "it was deleted while the run wrote it")
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        except OSError as error:
            raise MachineError(f"{self.path}: cannot be written ({error.strerror or error})") from None

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        self._columns = columns
        lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
        write_text(self.path, "\n".join(lines) + "\n")
