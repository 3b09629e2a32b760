"""Calling a network on several batches at once where that changes nothing but the time it takes."""

import torch
from torch import Tensor, nn


def sees_images_alone(network: nn.Module) -> bool:
    """Whether an image's result does not depend on the others in its batch (no batch norm)."""
    return not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def apply(network: nn.Module, *images: Tensor) -> tuple[Tensor, ...]:
    """Run the network on several image batches, in one call where it sees each image alone.

    Results of reduced precision become float32, so that losses are computed in it.
    """
    shapes = {image.shape[1:] for image in images}
    if len(images) > 1 and len(shapes) == 1 and sees_images_alone(network):
        results = network(torch.cat(images)).split([len(image) for image in images])
    else:
        results = tuple(network(image) for image in images)
    return tuple(r.float() if r.dtype in (torch.bfloat16, torch.float16) else r for r in results)
