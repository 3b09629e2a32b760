"""Mean absolute distance to the truth."""

from torch import Tensor

from diptych.metrics.metric import Batch, ImageMetric


class L1(ImageMetric):
    """Of the range 0…1."""

    name = "l1"
    title = "L1 to the truth"
    needs = frozenset({"truth"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        return (batch.outputs - batch.truths).abs().flatten(1).mean(1) / 2
