"""Whether numbers are numbers, by one fused reduction a device."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from diptych.networks import find_tensors


@torch.no_grad()
def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no element is an infinity or a NaN; whole numbers always are."""
    groups: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            groups.setdefault(tensor.device, []).append(tensor)
    # The largest magnitude, which unlike a sum of squares cannot overflow where every element is finite.
    return all(
        bool(torch.stack([norm.double() for norm in torch._foreach_norm(group, torch.inf)]).isfinite().all())
        for group in groups.values()
    )


def is_sound(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the weights, averages and optimizers' states of a checkpoint are numbers."""
    return are_finite(find_tensors([checkpoint.get(key) for key in ("state_dict", "callbacks", "optimizer_states")]))
