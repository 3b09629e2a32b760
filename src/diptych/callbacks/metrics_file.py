"""`metrics.csv`: every logged loss by name, on disk in every run, appended to by a resumed one."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.methods import Method


class MetricsFile(Callback):
    """Writes a row every `log_every_n_steps` batches, before the checkpoint of the same batch is written.

    A resumed run first drops the rows that it will write again. A new column rewrites the file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._columns: list[str] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what an interrupted run wrote up to the checkpoint, or begin anew."""
        assert isinstance(pl_module, Method)
        rows = [row for row in self._read() if float(row["iteration"]) <= pl_module.iteration]
        if trainer.is_global_zero:
            self._rewrite(rows, list(rows[0]) if rows else ["iteration", "images_seen"])

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Append a row."""
        assert isinstance(pl_module, Method)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not trainer.is_global_zero or not every or pl_module.iteration % every:
            return
        row = {name: f"{float(value):.8g}" for name, value in trainer.callback_metrics.items() if name != "step"}
        row |= {"iteration": str(pl_module.iteration), "images_seen": str(pl_module.images_seen)}
        if new := [name for name in row if name not in self._columns]:
            self._rewrite(self._read(), [*self._columns, *new])
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

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
