"""Stopping cleanly: a signal is noted at once and obeyed at the end of the batch, after a checkpoint."""

import signal
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.callbacks.checkpoint import LastCheckpoint
from diptych.methods import Method
from diptych.signals import CODES, give_back, stop_at_once, take_signals, write_line
from diptych.terminal import complain


class CleanStop(Callback):
    """Ctrl-C, SIGTERM, a closed terminal and SLURM's SIGUSR1 finish the batch, save and exit; Ctrl-C twice exits now.

    Before the first batch and after the last one there is nothing to finish: `signals.stop_at_once` has the signals.
    With several processes a signal to one of them stops all at the same batch.
    """

    def __init__(self) -> None:
        self._code = 0
        self._agreed = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals."""
        self._before = take_signals(self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._code == CODES[signal.SIGINT] and number == signal.SIGINT:
            stop_at_once(number, frame)
        code = CODES[signal.Signals(number)]
        first, self._code = not self._code, code  # no call in between, or a second signal could come there
        if first:
            write_line("stopping after this batch; Ctrl-C once more stops at once")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save when any process has noted a signal."""
        assert isinstance(pl_module, Method)
        self._agreed = self._agree(trainer, pl_module)
        if not self._agreed:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, LastCheckpoint):
                callback.save(trainer, pl_module)
                if trainer.is_global_zero:
                    complain(f"saved {callback.path}; go on with resume=auto")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop before the next batch; loggers have had the last one by now."""
        if self._agreed:
            raise SystemExit(self._agreed)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after the epoch's last batch."""
        if self._agreed:
            raise SystemExit(self._agreed)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back, and obey one that came after the last batch."""
        assert isinstance(pl_module, Method)
        self._release()
        if code := self._agree(trainer, pl_module):
            raise SystemExit(code)

    def _agree(self, trainer: Trainer, method: Method) -> int:
        if trainer.world_size == 1:
            return self._code
        code = torch.tensor(self._code, device=method.device)
        torch.distributed.all_reduce(code, op=torch.distributed.ReduceOp.MAX)
        return int(code)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back when the run ends early."""
        self._release()

    def _release(self) -> None:
        give_back(self._before)
        self._before = {}
