"""The logger that is always on: `metrics.csv`, one row per logged batch, appended to by a resumed run."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only


class MetricsFile(Logger):
    """Writes each row as it comes; a new column rewrites the file, a resumed run drops rows it will write again."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the composed config lies beside this file."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row."""
        row = {name: f"{float(value):.8g}" for name, value in metrics.items() if name not in ("epoch", "step")}
        if "iteration" not in row:
            return
        if not self._columns:
            self._take_up(int(float(row["iteration"])))
        if not row.keys() <= set(self._columns):
            self._rewrite(self._read(), [*self._columns, *(name for name in row if name not in self._columns)])
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _take_up(self, iteration: int) -> None:
        """Keep what an interrupted run wrote before this iteration."""
        kept = [row for row in self._read() if float(row["iteration"]) < iteration]
        if kept:
            self._rewrite(kept, list(kept[0]))

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        self._columns = columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)
