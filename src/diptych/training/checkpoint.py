"""What a checkpoint says of a run besides weights and optimizers: tensors, numbers and strings only."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.data import UnpairedData
from diptych.methods import Method
from diptych.randomness import capture_random_state, restore_random_state
from diptych.training.epochs import align_loops
from diptych.translators.bundle import rename_tensors
from diptych.translators.header import EXTRA_STATE_1, FORMAT

_RENAMED = {"scheme": "init", "gain": "init_gain", "smoothness": "total_variation"}  # settings of methods in format 1


class RunState(Callback):
    """Saves and restores the counters, each process's random state and the extra state of a method's parts.

    `recipe` is what the checkpoint says about its making.
    """

    def __init__(self, recipe: Mapping[str, Any] | None = None) -> None:
        self.recipe = dict(recipe or {})
        self._random_state: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the counters, the translators' descriptions and every process's state, by rank."""
        assert isinstance(pl_module, Method)
        prefixes = {id(module): name for name, module in pl_module.named_modules()}
        parts = {name: part.state_dict() for name, part in pl_module.extra_state().items()}
        checkpoint.setdefault("diptych", {})
        checkpoint["diptych"] |= {
            "format": FORMAT,
            "iteration": pl_module.iteration,
            "images_seen": pl_module.images_seen,
            "recipe": self.recipe,
            "translators": {
                direction: {**network.describe(), "prefix": f"{prefixes[id(network)]}."}
                for direction, network in pl_module.translators.items()
            },
            "processes": _gather({"random": capture_random_state(), "extra_state": parts}),
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on counting where the checkpoint stopped."""
        assert isinstance(pl_module, Method)
        saved = checkpoint["diptych"]
        pl_module.iteration, pl_module.images_seen = saved["iteration"], saved["images_seen"]
        self._random_state = load_process(pl_module, checkpoint)
        data, limit = trainer.datamodule, trainer.limit_train_batches  # type: ignore[attr-defined]
        if isinstance(data, UnpairedData) and isinstance(limit, float) and limit == 1.0:  # 1 would be a single batch
            align_loops(checkpoint["loops"]["fit_loop"], data.make_batches())

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Take up the checkpoint's random state, now that nothing else will draw before the first step."""
        if self._random_state is not None:
            restore_random_state(self._random_state)
            self._random_state = None


def load_process(method: Method, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Load this process's extra state into the method's parts; return the random state that belongs to it."""
    processes = checkpoint["diptych"]["processes"]
    own: dict[str, Any] = processes[method.global_rank % len(processes)]
    for name, part in method.extra_state().items():
        part.load_state_dict(own["extra_state"][name])
    random: dict[str, Any] = own["random"]
    return random


def _gather(own: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what every process has, by rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    everybody: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everybody, own)
    return everybody


def upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint of format 1 as one of today's: tensors, states and recipe under their new names."""
    header = content["diptych"]
    for process in header["processes"]:
        if EXTRA_STATE_1 in process:
            process["extra_state"] = process.pop(EXTRA_STATE_1)
    if header["format"] != 1:
        return content
    content["state_dict"] = rename_tensors(content["state_dict"])
    averaged = content.get("callbacks", {}).get("EMA", {}).get("averaged", {})
    averaged |= {direction: rename_tensors(tensors) for direction, tensors in averaged.items()}
    method = header["recipe"].get("method", {})
    method |= {new: method.pop(old) for old, new in _RENAMED.items() if old in method}
    return content
