"""Structural similarity to the truth.

Image Quality Assessment: From Error Visibility to Structural Similarity. Wang, Bovik, Sheikh, Simoncelli. 2004.
https://doi.org/10.1109/TIP.2003.819861
"""

from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from diptych.images import to_unit
from diptych.metrics.metric import Batch, ImageMetric


class SSIM(ImageMetric):
    """One for equal images, about zero for unrelated ones; a Gaussian window of deviation 1.5."""

    name = "ssim"
    title = "SSIM to the truth"
    higher_is_better = True
    needs = frozenset({"truth"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        pair = to_unit(batch.outputs), to_unit(batch.truths)
        found = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
        assert isinstance(found, Tensor)
        return found
