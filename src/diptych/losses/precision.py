"""Losses are computed in float32, whatever networks are computed in: a Gram matrix in bf16 is off by percents."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from diptych.networks import find_tensors, widen

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(compute: Callable[P, R]) -> Callable[P, R]:
    """Return the function with autocast turned off inside, given in float32 what tensors of less precision it gets."""

    @wraps(compute)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(find_tensors(args)).device.type
        with torch.autocast(device, enabled=False):
            return compute(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})

    return computed


def _widen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _widen(held) for name, held in value.items()}
    return widen(value) if isinstance(value, Tensor) else value
