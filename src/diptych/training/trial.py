"""Whether a run can go on from a checkpoint: states are tried on throw-away copies before anything takes them up."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from diptych.errors import UserError, is_exhaustion, name_reason
from diptych.methods import Method
from diptych.randomness import try_random_state
from diptych.training.finite import are_finite, is_sound

_READ = ("epoch_progress", "epoch_loop.batch_progress")
"""What of Lightning's loops must be there; of the rest it does without what an earlier version did not write."""

_QUICK = ("fused", "foreach", "capturable")
"""Ways of an optimizer that take shapes on trust, a segmentation fault otherwise, or that need a GPU."""


def find_misfit(content: Mapping[str, Any], method: Method, trainer: Trainer) -> str | None:
    """Return in words why a method and its trainer cannot take up a checkpoint's states; nothing where they can."""
    trials: dict[str, Callable[[], None]] = {
        "weights": lambda: _try_weights(content, method),
        "optimizers": lambda: _try_optimizers(content, method),
        "random states": lambda: _try_random_states(content),
        "extra state": lambda: _try_extra_state(content, method),
        "loops": lambda: _try_loops(content["loops"]["fit_loop"], trainer),
    }
    for part, attempt in trials.items():
        try:
            attempt()
        except Exception as error:  # whatever torch, NumPy and Python raise at what is not theirs
            if isinstance(error, UserError) or is_exhaustion(error):
                raise
            reason = f"it lacks {error}" if isinstance(error, KeyError) else name_reason(error)
            return f"its {part} cannot be taken up ({reason})"
    return None


def _try_weights(content: Mapping[str, Any], method: Method) -> None:
    parts = {"the method": (method.state_dict(), content["state_dict"])}
    for direction, tensors in content["callbacks"].get("EMA", {}).get("averaged", {}).items():
        parts[f"the average {direction}"] = (method.translators[direction].state_dict(), tensors)
    for name, (own, saved) in parts.items():
        if own.keys() ^ saved.keys() or any(own[key].shape != saved[key].shape for key in own):
            raise ValueError(f"they are not those of {name}")
    if not is_sound(content):
        raise ValueError("they, or moments of optimizers, are not finite")


def _try_optimizers(content: Mapping[str, Any], method: Method) -> None:
    """Let optimizers of the method's kind take a step with these states, on weights that are none of its own."""
    optimizers, states = method.configure_optimizers(), content["optimizer_states"]
    if len(states) != len(optimizers) or content["lr_schedulers"]:
        found = f"{len(states)} optimizers and {len(content['lr_schedulers'])} schedulers"
        raise ValueError(f"{found}, where the method has {len(optimizers)} and none")
    for optimizer, state in zip(optimizers, states, strict=True):
        weights = _take_step(optimizer, copy.deepcopy(state))
        if not are_finite(weights):
            raise ValueError("their next step is not finite")
        if content["diptych"]["iteration"] and not state["state"] and any(optimizer.state.values()):
            raise ValueError("one has no state")


def _take_step(optimizer: Optimizer, state: dict[str, Any]) -> list[Tensor]:
    for group in optimizer.param_groups:
        group["params"] = [nn.Parameter(torch.zeros_like(weight)) for weight in group["params"]]
    optimizer.load_state_dict(state)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    for group in optimizer.param_groups:
        group["lr"] = 1.0 * group["initial_lr"]
        group |= {way: False for way in _QUICK if way in group}
    optimizer.step()
    return weights


def _try_random_states(content: Mapping[str, Any]) -> None:
    for process in content["diptych"]["processes"]:
        try_random_state(process["random"])


def _try_extra_state(content: Mapping[str, Any], method: Method) -> None:
    for process in content["diptych"]["processes"]:
        for name, part in method.extra_state().items():
            copy.deepcopy(part).load_state_dict(process["extra_state"][name])


def _try_loops(saved: Mapping[str, Any], trainer: Trainer) -> None:
    """Compare Lightning's counts with a trainer's that has counted nothing yet."""
    own = trainer.fit_loop.state_dict()
    for name in own:
        if name in saved or name in _READ:
            _require_alike(name, own[name], saved[name])
    if saved.get("state_dict", {}).get("combined_loader"):
        raise ValueError("the state of a data loader, where ours has none")


def _require_alike(name: str, own: Any, saved: Any) -> None:
    """Raise unless all that is here is there, counts as counts."""
    if isinstance(own, dict):
        for key, value in own.items():
            _require_alike(f"{name}.{key}", value, saved[key])
    elif type(saved) is not type(own) or saved < 0:
        raise ValueError(f"{name} = {saved!r}")
