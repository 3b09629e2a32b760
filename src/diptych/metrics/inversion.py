"""Whether light and dark have changed places."""

from torch import Tensor

from diptych.metrics.metric import Batch, ImageMetric
from diptych.metrics.symptom import Symptom


class Inversion(ImageMetric):
    """The negated correlation of an output's luminance with its input's: one for a negative, minus one for a copy."""

    name = "inversion"
    title = "inversion (-correlation of luminance)"
    needs = frozenset({"input"})
    symptom = Symptom(0.2, "light and dark have changed places; train with identity terms or another seed")

    def describe(self, batch: Batch) -> Tensor:
        assert batch.inputs is not None
        pair = [images.mean(1).flatten(1) for images in (batch.outputs, batch.inputs)]
        one, other = (images - images.mean(1, keepdim=True) for images in pair)
        return -(one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1)).clamp_min(1e-6)
