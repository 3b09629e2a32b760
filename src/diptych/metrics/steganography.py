"""What a generator hides in its output, to find it again on the way back.

CycleGAN, a Master of Steganography. Chu, Zhmoginov, Sandler. 2017. https://arxiv.org/abs/1712.02950
"""

import torch
from torch import Generator, Tensor

from diptych.metrics.metric import Batch, Metric
from diptych.metrics.symptom import Symptom

_NOISE = 0.02  # of the range -1…1: invisible, yet it wipes out what is hidden in faint patterns
_LEAST = 1e-3  # an error of the cycle that nobody sees


class Steganography(Metric):
    """The cycle's error with faint noise on the output, over its error without."""

    name = "steganography"
    title = "hidden information (cycle with noise / without)"
    form = "{:.2f}"
    needs = frozenset({"input", "back"})
    symptom = Symptom(3.0, "the cycle breaks when faint noise is added: the generator hides the input in its output")

    def describe(self, batch: Batch) -> Tensor:
        """Return the errors without and with noise, N×2."""
        assert batch.back is not None and batch.inputs is not None
        noise = torch.randn(batch.outputs.shape[1:], generator=Generator().manual_seed(0)).to(batch.outputs)
        backs = [batch.back(fakes) for fakes in (batch.outputs, batch.outputs + _NOISE * noise)]
        errors = [(images - batch.inputs).abs().flatten(1).mean(1) for images in backs]
        return torch.stack(errors, 1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        clean, noisy = rows.mean(0).tolist()
        return float(noisy / max(clean, _LEAST))
