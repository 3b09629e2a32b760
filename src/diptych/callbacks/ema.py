"""An exponential moving average of the generators' weights: what users get is steadier than the last step."""

import copy
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from diptych.arguments import Decay, checked
from diptych.methods import Method
from diptych.networks import Network
from diptych.translators import NetworkTranslator


class EMA(Callback):
    """θ̄ ← d·θ̄ + (1 − d)·θ after every batch, with d = min(decay, (1 + n) / (10 + n)) at the n-th update.

    Only the networks handed to users are averaged; discriminators stay as they are.
    """

    place = "callbacks.ema"

    @checked
    def __init__(self, decay: Decay = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.averaged: dict[str, Network] = {}
        self._restored: dict[str, dict[str, Tensor]] = {}

    @property
    def state_key(self) -> str:
        return "EMA"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the networks' present weights, or from a checkpoint's averages."""
        assert isinstance(pl_module, Method)
        for direction, network in pl_module.translators.items():
            self.averaged[direction] = copy.deepcopy(network).requires_grad_(False).eval()
        self._take_over(self._restored)

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to saved averages in the middle of training."""
        self.updates = state["updates"]
        self._take_over(state["averaged"])

    def _take_over(self, averaged: dict[str, dict[str, Tensor]]) -> None:
        for direction, weights in averaged.items():
            self.averaged[direction].load_state_dict(weights)

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Take one step towards the present weights unless the batch was given up; buffers are copied."""
        assert isinstance(pl_module, Method)
        if pl_module.gives_up:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for direction, network in pl_module.translators.items():
            averages: list[Tensor] = list(self.averaged[direction].parameters())
            torch._foreach_lerp_(averages, list[Tensor](network.parameters()), 1 - decay)
            for average, buffer in zip(self.averaged[direction].buffers(), network.buffers(), strict=True):
                average.copy_(buffer)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages by direction and the number of updates."""
        averaged: dict[str, dict[str, Tensor]] = {d: n.state_dict() for d, n in self.averaged.items()}
        return {"updates": self.updates, "averaged": averaged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from saved averages."""
        self.updates, self._restored = state_dict["updates"], state_dict["averaged"]


def find_translators(trainer: Trainer, method: Method) -> dict[str, NetworkTranslator]:
    """Return translators by direction: of averaged networks where an `EMA` keeps them, of copies otherwise."""
    return {direction: NetworkTranslator(network) for direction, network in _find_networks(trainer, method).items()}


def _find_networks(trainer: Trainer, method: Method) -> dict[str, Network]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EMA) and callback.averaged:
            return callback.averaged
    return {direction: copy.deepcopy(network).eval() for direction, network in method.translators.items()}
