"""Losses are computed in float32, whatever networks are computed in: a Gram matrix in bf16 is off by percents."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from diptych.networks import widen

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(compute: Callable[P, R]) -> Callable[P, R]:
    """Return the function with autocast turned off inside, given in float32 what tensors of less precision it gets."""

    @wraps(compute)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(_find_tensors(args)).device.type
        with torch.autocast(device, enabled=False):
            return compute(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})

    return computed


def _find_tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            yield from _find_tensors(value.values())


def _widen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _widen(held) for name, held in value.items()}
    return widen(value) if isinstance(value, Tensor) else value
