"""Whether outputs are pure black and white where real images are not."""

from torch import Tensor

from diptych.metrics.metric import Batch, Metric
from diptych.metrics.symptom import Symptom

_END = 0.99  # of the range -1…1


class Saturation(Metric):
    """How much larger the share of values at either end of the range is than in real images of B."""

    name = "saturation"
    title = "saturated values (share beyond {b})"
    needs = frozenset({"reals"})
    symptom = Symptom(0.3, "far more output pixels are pure black or white than in domain B: tanh is saturated")

    def describe(self, batch: Batch) -> Tensor:
        return (batch.outputs.abs() > _END).float().flatten(1).mean(1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return float(rows.mean() - reals.mean())
