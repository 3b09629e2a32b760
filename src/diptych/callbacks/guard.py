"""The guard against numbers that are no numbers: checked before every update."""

from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from diptych.arguments import Count, checked
from diptych.callbacks.checkpoint import LastCheckpoint
from diptych.callbacks.ema import EMA
from diptych.errors import NumericError
from diptych.methods import Method
from diptych.randomness import restore_random_state
from diptych.terminal import say
from diptych.training.checkpoint import load_process
from diptych.training.checkpoint_files import find_newest
from diptych.training.finite import are_finite
from diptych.training.snapshot import Snapshot

Policy = Literal["raise", "skip", "rollback"]


class FiniteGuard(Callback):
    """Looks at a player's gradients before they are used; a NaN or an infinity never reaches a weight.

    `raise` stops with exit code 3 and names the batch's files and the last checkpoint. `skip` gives the batch up: the
    update of this player and of those after it are left out, and what the batch has left in pools, running means,
    statistics and augmentations is undone, for that would spoil every batch to come. `rollback` does so and goes back
    to the last checkpoint: weights, optimizers, averages, all of the above and the random state, but not the count of
    batches. A batch is a function of that count; were it put back too, the same batch would fail again in the same way.
    More than `limit` such batches in a row stop the run.
    """

    place = "callbacks.guard"

    @checked
    def __init__(self, on_nonfinite: Policy = "raise", limit: Count = 10) -> None:
        self.policy = on_nonfinite
        self.limit = limit
        self.spoiled: list[int] = []
        self._before: Snapshot | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Note what the batch may have to give back."""
        assert isinstance(pl_module, Method)
        self._before = None if self.policy == "raise" else Snapshot(pl_module)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check the gradients; without gradients an optimizer does nothing."""
        assert isinstance(pl_module, Method)
        if _is_finite(optimizer):
            return
        message = self._describe(trainer, pl_module)
        if self._before is None:
            raise NumericError(message)
        self.spoiled.append(pl_module.iteration)
        recent = self.spoiled[-self.limit :]
        if len(recent) == self.limit and recent[-1] - recent[0] == self.limit - 1:
            raise NumericError(f"{message}; this is batch {self.limit} of such in a row")
        pl_module.gives_up = True
        optimizer.zero_grad(set_to_none=True)
        self._before.restore(pl_module)
        done = "the batch is left out"
        if self.policy == "rollback":
            done = _roll_back(trainer, pl_module) or f"there is nothing to go back to: {done}"
        say(f"warning: {message}; {self.policy}: {done}")

    def _describe(self, trainer: Trainer, method: Method) -> str:
        data = trainer.datamodule  # type: ignore[attr-defined]
        names = ", ".join(map(str, data.find_batch())) if hasattr(data, "find_batch") else "unknown"
        path = _find_checkpoint(trainer)
        last = f"the last checkpoint is {path}" if path else "there is no checkpoint yet"
        return f"gradients are not finite in iteration {method.iteration + 1} (images: {names}); {last}"


def _roll_back(trainer: Trainer, method: Method) -> str | None:
    """Go back to the newest checkpoint that is whole; say what is restored, or None where there is none."""
    path = _find_checkpoint(trainer)
    newest, _ = find_newest(path.parent) if path else (None, [])
    if newest is None:
        return None
    path, content = newest
    method.load_state_dict(content["state_dict"])
    for optimizer, state in zip(trainer.optimizers, content["optimizer_states"], strict=True):
        optimizer.load_state_dict(state)
    restore_random_state(load_process(method, content))
    restored = ["weights", "statistics", "optimizers", *method.extra_state()]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EMA) and "EMA" in content["callbacks"]:
            callback.restore(content["callbacks"]["EMA"])
            restored.append("averages")
    return f"{', '.join(restored)} and random state are those of {path}, iteration {content['diptych']['iteration']}"


def _find_checkpoint(trainer: Trainer) -> Path | None:
    paths = [c.path for c in trainer.callbacks if isinstance(c, LastCheckpoint)]  # type: ignore[attr-defined]
    return paths[0] if paths and paths[0].exists() else None


def _is_finite(optimizer: Optimizer) -> bool:
    return are_finite(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
