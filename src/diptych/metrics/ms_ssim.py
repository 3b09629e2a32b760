"""Structural similarity to the truth, at several resolutions.

Multiscale Structural Similarity for Image Quality Assessment. Wang, Simoncelli, Bovik. 2003.
https://doi.org/10.1109/ACSSC.2003.1292216
"""

import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from diptych.images import to_unit
from diptych.metrics.metric import Batch, ImageMetric

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # the paper's, section 3.2
_WINDOW = 11


class MSSSIM(ImageMetric):
    """Of five scales where the shorter side is at least 176 pixels; below, of those at which a window of 11 still fits.

    The weights of the scales that are left are made to add up to one, so that such values do not compare with others.
    """

    name = "ms_ssim"
    title = "MS-SSIM to the truth"
    higher_is_better = True
    needs = frozenset({"truth"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        side = min(batch.outputs.shape[-2:])
        if side < _WINDOW:
            return batch.outputs.new_full((len(batch.outputs),), torch.nan)
        weights = _WEIGHTS[: count_scales(side)]
        pair = to_unit(batch.outputs), to_unit(batch.truths)
        betas = tuple(weight / sum(weights) for weight in weights)
        found = multiscale_structural_similarity_index_measure(*pair, data_range=1.0, reduction="none", betas=betas)
        assert isinstance(found, Tensor)
        return found


def count_scales(side: int) -> int:
    """Return at how many scales, each half the one before, a window fits into a side."""
    return next((scales for scales in range(len(_WEIGHTS), 1, -1) if side >> (scales - 1) >= _WINDOW), 1)
