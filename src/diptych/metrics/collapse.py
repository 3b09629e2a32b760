"""Whether all outputs are the same image."""

import math

import torch.nn.functional as F
from torch import Tensor

from diptych.metrics.metric import Batch, Metric
from diptych.metrics.symptom import Symptom

_SIDE = 32  # layouts are compared, not grain


class Collapse(Metric):
    """One less the deviation across outputs over that across real images of B: one where they are all alike."""

    name = "collapse"
    title = "collapse (1 - variation over {b})"
    needs = frozenset({"reals"})
    fewest = 2
    symptom = Symptom(
        0.9, "the outputs hardly differ from each other: the generator has collapsed; lower its learning rate"
    )

    def describe(self, batch: Batch) -> Tensor:
        return F.adaptive_avg_pool2d(batch.outputs, _SIDE).flatten(1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        if len(reals) < 2:
            return math.nan
        return 1 - float(rows.std(0).mean() / reals.std(0).mean().clamp_min(1e-6))
