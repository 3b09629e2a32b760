"""The sliced Wasserstein distance between two sets of images (Rabin et al. 2011; Karras et al. 2018, section 5).

Every level of a Laplacian pyramid is cut into 7×7 patches, normalised per channel by the second set, and
compared along random directions: a distance of local statistics that needs neither pairs nor a network.
https://arxiv.org/abs/1710.10196
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from diptych.metrics.metric import Batch, Metric

_PATCH, _DIRECTIONS, _PATCHES, _SMALLEST = 7, 128, 64, 16


class SlicedWasserstein(Metric):
    """Averaged over the pyramid's levels; the unit is the standard deviation of the real images' patches."""

    name = "swd"
    title = "sliced Wasserstein"
    needs = frozenset({"reals"})
    resamples = 5

    def describe(self, batch: Batch) -> Tensor:
        """Return patches of every level: N×L×P×C×49."""
        random = Generator().manual_seed(0)
        return torch.stack([_draw_patches(level, random) for level in _pyramid(batch.outputs.float())], 1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        random = Generator().manual_seed(0)
        distances = []
        for patches, others in zip(rows.unbind(1), reals.unbind(1), strict=True):
            patches, others = patches.flatten(0, 1), others.flatten(0, 1)
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
    """Return random patches of each image, N×P×C×49; small images are extended to hold one."""
    short = [max(0, _PATCH - side) for side in images.shape[-2:]]
    images = F.pad(images, (0, short[1], 0, short[0]), mode="replicate")
    windows = images.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
    count, _, rows, columns = windows.shape[:4]
    places = torch.randint(rows * columns, (count, _PATCHES), generator=random)
    numbers = torch.arange(count)[:, None]
    return windows[numbers, :, places // columns, places % columns].flatten(3)


def _distance(first: Tensor, second: Tensor, random: Generator) -> float:
    """Return the mean distance of the sorted projections on random orthonormal directions."""
    directions = torch.linalg.qr(torch.randn(first.shape[1], _DIRECTIONS, generator=random)).Q
    count = min(len(first), len(second))
    sorted_first, sorted_second = (_take_quantiles(directions.T @ points.T, count) for points in (first, second))
    return float((sorted_first - sorted_second).abs().mean())


def _take_quantiles(values: Tensor, count: int) -> Tensor:
    """Return so many values of each row, D×N, in order and evenly spread."""
    places = ((torch.arange(count) + 0.5) * (values.shape[1] / count)).long()
    return values.sort(dim=1).values[:, places]
