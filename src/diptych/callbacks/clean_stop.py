"""Stopping cleanly: a signal is noted at once and obeyed at the end of the batch, after a checkpoint."""

import signal
import sys
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.callbacks.checkpoint import LastCheckpoint
from diptych.methods import Method

INTERRUPTED, TERMINATED = 130, 143
_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": TERMINATED, "SIGUSR1": TERMINATED}


class CleanStop(Callback):
    """Ctrl-C, SIGTERM and SLURM's SIGUSR1 finish the batch, save and exit with 130 or 143; Ctrl-C twice exits now.

    With several processes a signal to one of them stops all at the same batch.
    """

    def __init__(self) -> None:
        self._code = 0
        self._agreed = 0
        self._training = True
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals."""
        self._take()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take them over again, for Lightning has put them back; export and evaluation are still to come."""
        self._training = False
        self._take()

    def _take(self) -> None:
        for name in _CODES:
            if hasattr(signal, name):
                number = signal.Signals[name]
                self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self._code == INTERRUPTED and number == signal.SIGINT
        self._code = _CODES[signal.Signals(number).name]
        if again or not self._training:  # what follows the training is done again by resume=auto
            raise SystemExit(self._code)
        print("\nstopping after this batch; once more stops at once", file=sys.stderr, flush=True)

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
                    print(f"saved {callback.path}; go on with resume=auto", file=sys.stderr, flush=True)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop before the next batch; loggers have had the last one by now."""
        if self._agreed:
            raise SystemExit(self._agreed)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after the epoch's last batch."""
        if self._agreed:
            raise SystemExit(self._agreed)

    def _agree(self, trainer: Trainer, method: Method) -> int:
        if trainer.world_size == 1:
            return self._code
        code = torch.tensor(self._code, device=method.device)
        torch.distributed.all_reduce(code, op=torch.distributed.ReduceOp.MAX)
        return int(code)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back when the run ends early."""
        self._release()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._release()

    def _release(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
