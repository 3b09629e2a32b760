"""When a training checkpoint is written."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from diptych.arguments import Amount, FilePath
from diptych.errors import NumericError
from diptych.methods import Method
from diptych.training.checkpoint_files import LAST
from diptych.training.finite import is_sound


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`: at the end of every epoch, after every `every` batches, and when somebody asks for it."""

    def __init__(self, folder: FilePath, every: Amount = 1000) -> None:
        self.path = Path(folder) / LAST
        self.every = every
        self._saved_at = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save every so many batches, counted as the method counts them."""
        assert isinstance(pl_module, Method)
        if self.every and pl_module.iteration % self.every == 0:
            self.save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the epoch."""
        assert isinstance(pl_module, Method)
        self.save(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse weights, averages and optimizers' states that are no numbers: an update can overflow.

        The checkpoint before stays what it is; `NumericError` names it.
        """
        assert isinstance(pl_module, Method)
        if not is_sound(checkpoint):
            good = f"the last good checkpoint is {self.path}" if self.path.exists() else "there is no checkpoint yet"
            raise NumericError(f"weights are not finite after iteration {pl_module.iteration}; {good}")

    def save(self, trainer: Trainer, method: Method) -> None:
        """Write the checkpoint unless this iteration's is there already; every process must call this."""
        if self._saved_at != method.iteration:
            trainer.save_checkpoint(self.path)
            self._saved_at = method.iteration
