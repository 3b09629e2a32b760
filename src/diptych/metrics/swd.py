"""The sliced Wasserstein distance between two sets of images, level by level of a Laplacian pyramid.

Progressive Growing of GANs for Improved Quality, Stability, and Variation. Karras, Aila, Laine, Lehtinen. 2018,
section 5. https://arxiv.org/abs/1710.10196
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.metrics.metric import Batch, Metric, Score
from diptych.metrics.sliced import Sliced, average_sliced, draw_directions, measure_sliced

_PATCH, _SMALLEST = 7, 16  # the paper's
_PATCHES, _PATCHES_OF_ALL = 256, 1 << 16  # of each image and of all images of a set, at each level
_DIRECTIONS = 64
_BINOMIAL = (1, 4, 6, 4, 1)


class SlicedWasserstein(Metric):
    """Of 7×7 patches, averaged over the levels, of which the coarsest shows layout and the finest texture."""

    name = "swd"
    title = "sliced Wasserstein"
    needs = frozenset({"reals"})

    def __init__(self) -> None:
        self.sides: list[str] = []

    def describe(self, batch: Batch) -> Tensor:
        """Return patches of every level, the finest first: N×L×P×C×49."""
        levels = make_pyramid(batch.outputs.float())
        self.sides = [str(min(level.shape[-2:])) for level in levels]
        return torch.stack([_draw_patches(level, batch) for level in levels], 1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return self.score(rows, reals).value

    def score(self, rows: Tensor, reals: Tensor, interval: bool = True) -> Score:
        """Return value and uncertainty, and the value of each level by the length of its shorter side."""
        levels = [
            _measure_level(first, second, own=side != self.sides[-1])
            for side, first, second in zip(self.sides, rows.unbind(1), reals.unbind(1), strict=True)
        ]
        whole = average_sliced(levels)
        parts = {side: level.value for side, level in zip(self.sides, levels, strict=True)}
        return Score(whole.value, whole.deviation, len(rows), parts)


def _measure_level(first: Tensor, second: Tensor, own: bool) -> Sliced:
    """Return the distance of N×P×C×49 and M×Q×C×49 patches, and what each image contributes.

    `own`: each set is standardised by itself, as in the paper. By the other set's deviation, mottled flat areas would
    make up for edges that are not sharp, and be better than clean ones. The coarse remainder keeps colours and
    contrast, so there both sets are standardised by the second: a departure from the paper.
    """
    points, others = _standardise(first, first if own else second), _standardise(second, second)
    found = measure_sliced(points, others, draw_directions(points.shape[1], _DIRECTIONS), order=1)
    return found.average_groups(len(first), len(second))


def _standardise(patches: Tensor, by: Tensor) -> Tensor:
    """Return patches as points, each channel less its mean in another set and over its deviation there."""
    mean, deviation = by.mean((0, 1, 3), keepdim=True), by.std((0, 1, 3), keepdim=True)
    return ((patches - mean) / deviation.clamp_min(1e-4)).flatten(2).flatten(0, 1)


def make_pyramid(images: Tensor) -> list[Tensor]:
    """Return the levels of N×C×H×W images, the finest first, the last the coarse remainder.

    The Laplacian Pyramid as a Compact Image Code. Burt, Adelson. 1983. https://doi.org/10.1109/TCOM.1983.1095851
    """
    levels = []
    while min(images.shape[-2:]) >= 2 * _SMALLEST:
        coarse = _smooth(images)[..., ::2, ::2]
        spread = torch.zeros_like(images)
        spread[..., ::2, ::2] = 4 * coarse
        levels.append(images - _smooth(spread))
        images = coarse
    return [*levels, images]


def _smooth(images: Tensor) -> Tensor:
    row = torch.tensor(_BINOMIAL, dtype=images.dtype, device=images.device) / sum(_BINOMIAL)
    kernel = row.outer(row).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=images.shape[1])


def _draw_patches(images: Tensor, batch: Batch) -> Tensor:
    """Return random patches of a level of each image, N×P×C×49; small images are extended to hold one."""
    short = [max(0, _PATCH - side) for side in images.shape[-2:]]
    images = F.pad(images, (0, short[1], 0, short[0]), mode="replicate")
    windows = images.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
    rows, columns = windows.shape[2:4]
    places = batch.draw_places(rows * columns, _PATCHES, _PATCHES_OF_ALL)
    return windows[torch.arange(len(images))[:, None], :, places // columns, places % columns].flatten(3)
