"""Whether outputs are their inputs."""

from torch import Tensor

from diptych.metrics.metric import Batch, ImageMetric
from diptych.metrics.symptom import Symptom


class Copying(ImageMetric):
    """One less the mean distance of outputs and inputs, of the range 0…1: one where nothing was changed."""

    name = "copying"
    title = "likeness to the input (1 - L1)"
    needs = frozenset({"input", "alike"})
    symptom = Symptom(0.99, "the outputs equal the inputs: the generator copies; lower identity and cycle weights")

    def describe(self, batch: Batch) -> Tensor:
        assert batch.inputs is not None
        return 1 - (batch.outputs - batch.inputs).abs().flatten(1).mean(1) / 2
