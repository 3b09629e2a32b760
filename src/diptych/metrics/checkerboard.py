"""Checkerboards, which transposed convolutions make.

Deconvolution and Checkerboard Artifacts. Odena, Dumoulin, Olah. Distill 2016. https://doi.org/10.23915/distill.00003
"""

import torch
from torch import Tensor

from diptych.metrics.metric import Batch, Metric
from diptych.metrics.symptom import Symptom

_QUARTERS = ((0, 2), (2, 0), (2, 2), (0, 1), (1, 0), (1, 1))  # frequencies of periods of two and of four pixels
_AROUND = (-2, -1, 1, 2)


class Checkerboard(Metric):
    """The spectral energy at periods of two and four pixels over that around them, relative to real images of B."""

    name = "checkerboard"
    title = "checkerboard (energy over {b})"
    form = "{:.2f}"
    needs = frozenset({"reals"})
    symptom = Symptom(3.0, "the outputs carry a checkerboard; generator.upsampling=resize or antialias avoids it")

    def describe(self, batch: Batch) -> Tensor:
        """Return the energy at six frequencies, and the mean of that around each: N×6×2."""
        height, width = (side - side % 4 for side in batch.outputs.shape[-2:])
        if min(height, width) < 16:
            return batch.outputs.new_ones(len(batch.outputs), len(_QUARTERS), 2)
        spectrum = torch.fft.fft2(batch.outputs[..., :height, :width].mean(1)).abs().square()
        found = []
        for row, column in _QUARTERS:
            top, left = row * height // 4, column * width // 4
            rows, columns = [(top + d) % height for d in _AROUND], [(left + d) % width for d in _AROUND]
            found.append(torch.stack([spectrum[:, top, left], spectrum[:, rows][:, :, columns].mean((1, 2))], 1))
        return torch.stack(found, 1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return _measure_peaks(rows) / max(_measure_peaks(reals), 1e-6)


def _measure_peaks(rows: Tensor) -> float:
    peak, around = rows.mean(0).unbind(1)
    return float((peak / around.clamp_min(1e-6)).mean())
