"""From the patches of an image to one vector that says what kind of image it is (Han et al. 2021, SimDCL)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

_MINIMUM = 3  # patches that the convolution needs


class SimilarityHead(nn.Module):
    """Looks at several layers' patches as at an image: a row per patch, a column per feature, a channel per layer."""

    def __init__(self, layers: int, width: int = 64) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(layers, width, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
        )

    def forward(self, patches: Sequence[Tensor]) -> Tensor:
        """Return N×width vectors of unit length for the layers' N×P×features, of which the fewest patches count."""
        count = max(_MINIMUM, min(layer.shape[1] for layer in patches))
        stacked = torch.stack([_repeat(layer, count) for layer in patches], dim=1)
        return normalize(self.model(stacked), dim=1)


def _repeat(layer: Tensor, count: int) -> Tensor:
    """Return the first `count` patches; a layer of fewer begins anew."""
    return layer.repeat(1, -(-count // layer.shape[1]), 1)[:, :count]
