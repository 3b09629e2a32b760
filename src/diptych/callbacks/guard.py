"""The guard against numbers that are no numbers: checked before every update."""

from pathlib import Path
from typing import Literal, get_args

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from diptych.callbacks.checkpoint import LastCheckpoint
from diptych.callbacks.ema import EMA
from diptych.errors import NumericError, UserError
from diptych.methods import Method
from diptych.terminal import say
from diptych.training.checkpoint_files import verify_checkpoint
from diptych.training.finite import are_finite

Policy = Literal["raise", "skip", "rollback"]


class FiniteGuard(Callback):
    """Looks at a player's gradients before they are used; a NaN or an infinity never reaches a weight.

    `raise` stops with exit code 3 and names the batch's files and the last checkpoint; `skip` leaves out the
    update of this player and of those after it in this batch; `rollback` does so and takes weights,
    optimizers and averages back to the last checkpoint. More than `limit` such batches in a row stop the run.
    """

    def __init__(self, on_nonfinite: Policy = "raise", limit: int = 10) -> None:
        if on_nonfinite not in get_args(Policy):
            raise UserError(
                f"callbacks.guard.on_nonfinite = {on_nonfinite!r} is not one of {', '.join(get_args(Policy))}"
            )
        self.policy = on_nonfinite
        self.limit = limit
        self.spoiled: list[int] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check the gradients; without gradients an optimizer does nothing."""
        assert isinstance(pl_module, Method)
        already = bool(self.spoiled) and self.spoiled[-1] == pl_module.iteration
        if not already and _is_finite(optimizer):
            return
        optimizer.zero_grad(set_to_none=True)
        if already:
            return
        message = self._describe(trainer, pl_module)
        if self.policy == "raise":
            raise NumericError(message)
        self.spoiled.append(pl_module.iteration)
        recent = self.spoiled[-self.limit :]
        if len(recent) == self.limit and recent[-1] - recent[0] == self.limit - 1:
            raise NumericError(f"{message}; this is batch {self.limit} of such in a row")
        say(f"warning: {message}; {self.policy}")
        if self.policy == "rollback":
            self._roll_back(trainer, pl_module)

    def _describe(self, trainer: Trainer, method: Method) -> str:
        data = trainer.datamodule  # type: ignore[attr-defined]
        names = ", ".join(map(str, data.find_batch(method.iteration))) if hasattr(data, "find_batch") else "unknown"
        path = _find_checkpoint(trainer)
        last = f"the last checkpoint is {path}" if path else "there is no checkpoint yet"
        return f"gradients are not finite in iteration {method.iteration + 1} (images: {names}); {last}"

    def _roll_back(self, trainer: Trainer, method: Method) -> None:
        path = _find_checkpoint(trainer)
        if path is None:
            return
        content = verify_checkpoint(path)
        method.load_state_dict(content["state_dict"])
        for optimizer, state in zip(trainer.optimizers, content["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EMA):
                callback.restore(content["callbacks"]["EMA"])


def _find_checkpoint(trainer: Trainer) -> Path | None:
    paths = [c.path for c in trainer.callbacks if isinstance(c, LastCheckpoint)]  # type: ignore[attr-defined]
    return paths[0] if paths and paths[0].exists() else None


def _is_finite(optimizer: Optimizer) -> bool:
    return are_finite(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
