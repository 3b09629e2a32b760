"""Images spoilt beyond what belongs to any domain: what a classifier of domains must learn to call neither."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Fault = Callable[[Tensor, Generator], Tensor]
"""Spoils N×C×H×W images in [-1, 1] by as much as the generator draws."""

_BLUR = 8  # a blurred copy keeps one in so many pixels


def blur(images: Tensor, factor: float = _BLUR) -> Tensor:
    """Return N×C×H×W images at `1 / factor` of their resolution, enlarged to what they were."""
    height, width = images.shape[-2:]
    small = max(1, round(height / factor)), max(1, round(width / factor))
    coarse = F.interpolate(images, size=small, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False).clamp(-1, 1)


def spoil(images: Tensor, random: Generator) -> Tensor:
    """Return N×C×H×W images in [-1, 1], spoilt in groups of four by one or two faults drawn from `FAULTS`."""
    spoilt = []
    for group in images.split(4):
        for _ in range(_draw(1, 2, random)):
            group = FAULTS[_draw(0, len(FAULTS) - 1, random)](group, random).clamp(-1, 1)
        spoilt.append(group)
    return torch.cat(spoilt)


def _blur(images: Tensor, random: Generator) -> Tensor:
    return blur(images, images.shape[-1] / _draw(2, 16, random))


def _add_noise(images: Tensor, random: Generator) -> Tensor:
    """Add noise of the size of a pixel."""
    return images + _between(0.15, 1, random) * torch.randn(images.shape, generator=random)


def _mottle(images: Tensor, random: Generator) -> Tensor:
    """Add blotches of some pixels."""
    side = _draw(4, 20, random)
    blotches = torch.randn(*images.shape[:2], side, side, generator=random)
    blotches = F.interpolate(blotches, size=images.shape[-2:], mode="bicubic", align_corners=False)
    return images + _between(0.15, 0.6, random) * blotches


def _shift_colour(images: Tensor, random: Generator) -> Tensor:
    """Mix one colour, perhaps a grey, into everything."""
    channels = images.shape[1] if _draw(0, 1, random) else 1
    colour = (3 * torch.rand(len(images), channels, 1, 1, generator=random) - 1.5).clamp(-1, 1)
    return images.lerp(colour.expand_as(images), _between(0.3, 1, random))


def _shuffle(images: Tensor, random: Generator) -> Tensor:
    """Exchange square patches."""
    side = images.shape[-1] // _draw(3, 8, random)
    patches = F.unfold(images, side, stride=side)
    order = torch.randperm(patches.shape[-1], generator=random)
    whole = tuple(length // side * side for length in images.shape[-2:])
    shuffled = F.fold(patches[..., order], whole, side, stride=side)
    return F.interpolate(shuffled, size=images.shape[-2:])


def _filter(images: Tensor, random: Generator) -> Tensor:
    """Do what a generator does that has learnt little: random convolutions, coarse or fine, that may keep white."""
    channels, hidden = images.shape[1], _draw(1, 8, random)
    kernel, scale = 2 * _draw(0, 2, random) + 1, 2 ** _draw(0, 3, random)
    first = torch.randn(hidden, channels, kernel, kernel, generator=random) / (kernel * channels**0.5)
    if kernel > 1 and _draw(0, 1, random):
        first = first - first.mean((2, 3), keepdim=True)  # outlines alone
    bias = torch.randn(hidden, 1, 1, generator=random)
    last = torch.randn(channels, hidden, kernel, kernel, generator=random)
    coarse = F.avg_pool2d(images, scale)
    origin = 1.0 if _draw(0, 1, random) else coarse.mean((2, 3), keepdim=True)
    step = F.conv2d(coarse - origin, first, padding="same")
    step = F.conv2d(F.relu(step + bias) - F.relu(bias), last, padding="same")
    step = _between(0.8, 2, random) * step / step.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
    changed = origin - step.abs() if isinstance(origin, float) else origin + 2 * step
    return F.interpolate(changed, size=images.shape[-2:], mode="bilinear", align_corners=False)


def _superpose(images: Tensor, random: Generator) -> Tensor:
    """Lay the images over each other, as a generator does that answers everything alike."""
    return images.lerp(images.mean(0, keepdim=True).expand_as(images), _between(0.4, 1, random))


FAULTS: tuple[Fault, ...] = (_blur, _add_noise, _mottle, _shift_colour, _shuffle, _superpose, _filter, _filter)


def _between(low: float, high: float, random: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=random))


def _draw(low: int, high: int, random: Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=random))
