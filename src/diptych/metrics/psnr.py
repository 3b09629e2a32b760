"""Peak signal-to-noise ratio to the truth."""

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from diptych.images import to_unit
from diptych.metrics.metric import Batch, ImageMetric


class PSNR(ImageMetric):
    """The ratio of the range to the root mean squared error, in dB."""

    name = "psnr"
    title = "PSNR to the truth"
    unit = "dB"
    form = "{:.2f}"
    higher_is_better = True
    needs = frozenset({"truth"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        pair = to_unit(batch.outputs), to_unit(batch.truths)
        return peak_signal_noise_ratio(*pair, data_range=1.0, dim=(1, 2, 3), reduction="none")
