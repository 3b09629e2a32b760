"""The training checkpoint: written beside its final place, then moved there."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from diptych.errors import MachineError
from diptych.methods import Method


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`: at the end of every epoch and after every `every` batches."""

    def __init__(self, folder: str, every: int = 1000) -> None:
        self.path = Path(folder) / "last.ckpt"
        self.every = every
        self._saved_at = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save every so many batches, counted as the method counts them."""
        assert isinstance(pl_module, Method)
        if self.every and pl_module.iteration % self.every == 0:
            self._save(trainer, pl_module.iteration)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the epoch."""
        assert isinstance(pl_module, Method)
        self._save(trainer, pl_module.iteration)

    def _save(self, trainer: Trainer, iteration: int) -> None:
        if self._saved_at == iteration:
            return
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                temporary.replace(self.path)
        except OSError as error:
            raise MachineError(f"{self.path}: the checkpoint cannot be written ({error.strerror or error})") from None
        self._saved_at = iteration
