"""How far the power of each frequency is from that of real images.

Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to Reproduce Spectral Distributions.
Durall, Keuper, Keuper. 2020. https://arxiv.org/abs/2003.01826
"""

import torch
from torch import Tensor

from diptych.metrics.metric import Batch, Metric

_FLOOR = (1 / 127.5) ** 2 / 12  # the power of rounding to 8 bits, below which nothing is to be seen


class Spectrum(Metric):
    """The mean absolute difference in dB of the power at each radius, from one period an image to two pixels."""

    name = "spectrum"
    title = "power spectrum"
    unit = "dB"
    form = "{:.3f}"
    needs = frozenset({"reals"})

    def describe(self, batch: Batch) -> Tensor:
        """Return the mean power at each radius, over channels and directions: N×R."""
        images = batch.outputs.float()
        height, width = images.shape[-2:]
        # a window, since the left side does not go on at the right
        window = torch.outer(*(torch.hann_window(side, periodic=False) for side in (height, width))).to(images)
        window = (window if window.any() else torch.ones_like(window)) + 1e-6
        centred = images - (images * window).sum((2, 3), keepdim=True) / window.sum()
        power = torch.fft.fft2(centred * window).abs().square().mean(1) / window.square().sum()
        vertical, horizontal = (torch.fft.fftfreq(side, device=images.device) for side in (height, width))
        radius = (torch.hypot(vertical[:, None], horizontal) * min(height, width)).round().long()
        last = max(1, min(height, width) // 2)
        return torch.stack([power[:, radius == r].mean(1) for r in range(1, last + 1) if (radius == r).any()], 1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        levels = [10 * (side.double().mean(0) + _FLOOR).log10() for side in (rows, reals)]
        return float((levels[0] - levels[1]).abs().mean())
