"""How much memory the first batch took, beside what there is."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.terminal import say
from diptych.training.memory import find_capacity, measure_peak


class MemoryReport(Callback):
    """Says once, after a run's first batch, the most that it held: what is measured, not reckoned."""

    def __init__(self) -> None:
        self._said = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Say it."""
        if self._said or not trainer.is_global_zero:
            return
        self._said = True
        peak, capacity = measure_peak(pl_module.device), find_capacity(pl_module.device)
        if peak is not None and capacity is not None:
            sizes = f"{peak / 2**30:.1f} of {capacity / 2**30:.1f} GiB"
            say(f"memory: at most {sizes} in the first batch")
