"""Calling a network on several batches at once where that changes nothing but the time it takes."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def sees_images_alone(network: nn.Module) -> bool:
    """Whether an image's result does not depend on the others in its batch (no batch norm)."""
    return not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def apply(network: nn.Module, *images: Tensor) -> tuple[Any, ...]:
    """Run the network on several image batches, in one call where it sees each image alone.

    Returns a result per batch: a tensor, or a tuple of them where that is what the network returns. Results of reduced
    precision become float32, so that losses are computed in it.
    """
    shapes = {image.shape[1:] for image in images}
    if len(images) > 1 and len(shapes) == 1 and sees_images_alone(network):
        result, sizes = network(torch.cat(images)), [len(image) for image in images]
        if isinstance(result, Tensor):
            return tuple(widen(part) for part in result.split(sizes))
        return tuple(zip(*([widen(part) for part in one.split(sizes)] for one in result), strict=True))
    return tuple(widen(network(image)) for image in images)


def find_tensors(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested dicts, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find_tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from find_tensors(item)


def widen(result: Any) -> Any:
    """Return in float32 the tensors, one or a tuple of them, that are of less precision."""
    if not isinstance(result, Tensor):
        return tuple(widen(part) for part in result)
    return result.float() if result.dtype in (torch.bfloat16, torch.float16) else result
