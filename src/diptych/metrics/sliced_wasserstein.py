"""The sliced Wasserstein distance between two sets of images (Rabin et al. 2011; Karras et al. 2018, section 5).

Every level of a Laplacian pyramid is cut into 7×7 patches, normalised per channel by the second set, and
compared along random directions: a distance of local statistics that needs neither pairs nor a network.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_PATCH, _DIRECTIONS, _PATCHES_PER_SET, _SMALLEST = 7, 128, 16384, 16


def sliced_wasserstein(first: Tensor, second: Tensor, seed: int = 0) -> float:
    """Return the distance of N×C×H×W and M×C×H×W images in [-1, 1], averaged over the pyramid's levels.

    Patches are drawn with a fixed seed, so that the same images always give the same number; the unit is
    the standard deviation of the second set's patches.
    """
    random = Generator().manual_seed(seed)
    distances = []
    for level, other in zip(_pyramid(first.float()), _pyramid(second.float()), strict=True):
        patches, others = _draw_patches(level, random), _draw_patches(other, random)
        mean, deviation = others.mean((0, 2), keepdim=True), others.std((0, 2), keepdim=True).clamp_min(1e-8)
        patches, others = ((p - mean) / deviation for p in (patches, others))
        distances.append(_distance(patches.flatten(1), others.flatten(1), random))
    return sum(distances) / len(distances)


def _pyramid(images: Tensor) -> list[Tensor]:
    """Return the Laplacian levels, finest first, the last the coarse remainder."""
    levels = []
    while min(images.shape[-2:]) >= 2 * _SMALLEST:
        coarse = F.avg_pool2d(images, 2)
        fine = F.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(images - fine)
        images = coarse
    return [*levels, images]


def _draw_patches(images: Tensor, random: Generator) -> Tensor:
    """Return patches as P×C×49, spread evenly over all images and places; small images are extended to hold one."""
    short = [max(0, _PATCH - side) for side in images.shape[-2:]]
    images = F.pad(images, (0, short[1], 0, short[0]), mode="replicate")
    windows = images.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
    count, _, rows, columns = windows.shape[:4]
    # Systematic sampling: far less noise between seeds than independent draws.
    start = torch.rand((), generator=random, dtype=torch.float64)
    places = ((torch.arange(_PATCHES_PER_SET) + start) * (count * rows * columns / _PATCHES_PER_SET)).long()
    return windows[places // (rows * columns), :, places // columns % rows, places % columns].flatten(2)


def _distance(first: Tensor, second: Tensor, random: Generator) -> float:
    """Return the mean distance of the sorted projections on random orthonormal directions."""
    directions = torch.linalg.qr(torch.randn(first.shape[1], _DIRECTIONS, generator=random)).Q
    sorted_first, sorted_second = ((directions.T @ p.T).sort(dim=1).values for p in (first, second))
    return float((sorted_first - sorted_second).abs().mean())
