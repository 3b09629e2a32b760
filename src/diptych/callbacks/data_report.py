"""What the data do to a run: files left out, remarks about files, and how long training waits for images."""

import csv
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.arguments import Amount, FilePath
from diptych.callbacks.csv_file import CsvFile
from diptych.errors import MachineError
from diptych.files import open_own
from diptych.methods import Method
from diptych.terminal import say

_PATIENCE = 0.2  # of the time: waiting beyond this is said once
_START = 20  # batches at the beginning of which nothing is concluded: workers start, caches fill


class DataReport(Callback):
    """Writes `skipped.csv` (file, reason), and every `every` batches a row of `speed.csv`.

    A row says how many images per second were trained on and which share of the time was spent waiting for data.
    """

    def __init__(self, folder: FilePath, every: Amount = 100) -> None:
        self.skipped_path = Path(folder) / "skipped.csv"
        self.speed_file = CsvFile(Path(folder) / "speed.csv")
        self.every = every
        self._skipped: set[str] = set()
        self._remarks: set[str] = set()
        self._ended = self._since = 0.0
        self._waited, self._batches, self._images = 0.0, 0, 0
        self._warned = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what is left out from the start, and take up the files of an interrupted run."""
        assert isinstance(pl_module, Method)
        if not trainer.is_global_zero:
            return
        self.speed_file.trim(pl_module.iteration)
        if self.skipped_path.exists():
            with open_own(self.skipped_path, "r", newline="", errors="surrogateescape") as file:
                self._skipped = {row["file"] for row in csv.DictReader(file) if row.get("file")}
        data = trainer.datamodule  # type: ignore[attr-defined]
        if skipped := getattr(data, "skipped", []):
            say(f"{len(skipped)} files are left out, listed in {self.skipped_path} (first: {skipped[0][1]})")
            self._note_skipped(skipped)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure."""
        self._ended = self._since = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Add the time since the last batch: that was spent waiting for this one."""
        self._waited += time.perf_counter() - self._ended

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note down what the batch reports, and now and then the speed."""
        assert isinstance(pl_module, Method)
        self._note_skipped(batch.get("skipped", []))
        for words, path in batch.get("remarks", []):
            if words not in self._remarks:
                self._remarks.add(words)
                if trainer.is_global_zero:
                    say(f"notice: {path}: {words} (said once)")
        self._batches += 1
        self._images += len(batch["a"]) * trainer.world_size
        if self.every and pl_module.iteration % self.every == 0 and trainer.is_global_zero:
            self._report(trainer, pl_module)
        self._ended = time.perf_counter()

    def _note_skipped(self, lines: list[tuple[str, str]]) -> None:
        """Append files that are not listed yet; every process adds those it meets."""
        new = [line for line in lines if line[0] not in self._skipped]
        if not new:
            return
        try:
            self.skipped_path.parent.mkdir(parents=True, exist_ok=True)
            with open_own(self.skipped_path, "a", newline="", errors="surrogateescape") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(["file", "reason"])
                writer.writerows(new)
        except OSError as error:
            raise MachineError(f"{self.skipped_path}: cannot be written ({error.strerror or error})") from None
        self._skipped |= {path for path, _ in new}

    def _report(self, trainer: Trainer, method: Method) -> None:
        """Write a row, and say it once when training is starved."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        share, speed = self._waited / seconds, self._images / seconds
        counts = {"iteration": str(method.iteration), "images_seen": str(method.images_seen)}
        values = {"images_per_second": speed, "data_wait": share}
        self.speed_file.append(counts | {name: f"{value:.4g}" for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics({f"speed/{name}": value for name, value in values.items()}, method.images_seen)
        if share > _PATIENCE and self._batches > _START and not self._warned:
            self._warned = True
            say(f"notice: training waits for data {share:.0%} of the time: more data.workers or data.cache=true")
        self._waited, self._images, self._since = 0.0, 0, time.perf_counter()
