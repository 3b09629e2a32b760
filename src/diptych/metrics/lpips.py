"""The learned perceptual distance.

The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. Zhang, Isola, Efros, Shechtman, Wang. 2018.
https://arxiv.org/abs/1801.03924
"""

import math

import torch
from torch import Tensor, nn

from diptych.images import normalise
from diptych.metrics.extractor import to_rgb
from diptych.metrics.metric import Batch, ImageMetric
from diptych.metrics.network import AtURL, Network, get_network

_SMALLEST = 31  # below, AlexNet's layers have nothing left


class LPIPSNetwork(Network):
    """AlexNet with the calibration of version 0.1, which torchmetrics carries; images as large as they are."""

    name = "AlexNet (LPIPS 0.1)"
    library = "torchmetrics"
    resize = "none"

    def __init__(self, weights: str | None = None) -> None:
        from torchvision.models import AlexNet_Weights

        super().__init__(AtURL(AlexNet_Weights.IMAGENET1K_V1.url), weights)
        self.network = self.fill(_make)

    @torch.no_grad()
    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """Return the distances of as many N×C×H×W images in [-1, 1], N: about 0…1, NaN where they cannot be compared.

        Images are rounded to 8 bits before, and grey is repeated.
        """
        pair = [to_rgb(part) for part in (images, others)]
        if pair[0] is None or pair[1] is None or images.shape[-2:] != others.shape[-2:]:
            return torch.full((len(images),), math.nan)
        if min(images.shape[-2:]) < _SMALLEST:
            return torch.full((len(images),), math.nan)
        return self.network(*(normalise(pixels) for pixels in pair if pixels is not None)).flatten()


class LPIPS(ImageMetric):
    """To the truth; `weights` is a file of AlexNet's weights, as torchvision names them."""

    name = "lpips"
    title = "LPIPS to the truth"
    needs = frozenset({"truth"})

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        return get_network(LPIPSNetwork, self.weights)(batch.outputs, batch.truths)

    def describe_network(self) -> dict[str, str]:
        return get_network(LPIPSNetwork, self.weights).describe()


def _make(state: dict[str, Tensor]) -> nn.Module:
    """Return the distance with AlexNet's weights, which torchmetrics would else load by itself."""
    from torchmetrics.functional.image.lpips import _LPIPS  # its public class downloads before one can say otherwise

    network = _LPIPS(net="alex", pnet_rand=True)
    names = network.net.state_dict()  # slice2.3.weight is features.3.weight
    network.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in names})
    return network
