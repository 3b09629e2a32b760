"""`metrics.csv`: every logged loss by name, on disk in every run, appended to by a resumed one."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.arguments import FilePath
from diptych.callbacks.csv_file import CsvFile
from diptych.methods import Method


class MetricsFile(Callback):
    """Writes a row every `log_every_n_steps` batches and at the last, before the checkpoint of the batch is written.

    A resumed run first drops the rows that it will write again.
    """

    def __init__(self, path: FilePath) -> None:
        self.file = CsvFile(Path(path))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, or take up that of an interrupted run."""
        assert isinstance(pl_module, Method)
        if trainer.is_global_zero:
            self.file.trim(pl_module.iteration)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Append a row."""
        assert isinstance(pl_module, Method)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if trainer.is_global_zero and every and (last or pl_module.iteration % every == 0):
            row = {name: f"{float(value):.8g}" for name, value in trainer.callback_metrics.items() if name != "step"}
            counts = {"iteration": str(pl_module.iteration), "images_seen": str(pl_module.images_seen)}
            self.file.append(row | counts)
