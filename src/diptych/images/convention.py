"""The image convention: N×C×H×W, float in [-1, 1]; RGB where there are three channels."""

import torch
from torch import Tensor


def normalise(pixels: Tensor) -> Tensor:
    """Map uint8 pixels 0…255 to floats in [-1, 1]; floats are there already."""
    return pixels if pixels.is_floating_point() else pixels.float().div_(127.5).sub_(1.0)


def to_pixels(images: Tensor) -> Tensor:
    """Map floats in [-1, 1] to uint8, rounded to the nearest grey level and clipped."""
    return images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def to_unit(images: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1], clipped: the range that kornia and most metrics expect."""
    return images.float().add(1.0).div(2.0).clamp(0.0, 1.0)
