"""ArtFID: of style transfer, whether outputs look like the styles and still show their contents.

ArtFID: Quantitative Evaluation of Neural Style Transfer. Wright, Ommer. 2022. https://arxiv.org/abs/2207.12280
"""

import torch
from torch import Tensor

from diptych.metrics.extractor import FeatureMetric
from diptych.metrics.frechet import FrechetDistance, measure_frechet
from diptych.metrics.inception import ArtInception
from diptych.metrics.lpips import LPIPSNetwork
from diptych.metrics.metric import Batch
from diptych.metrics.network import get_network


class ArtFID(FeatureMetric, FrechetDistance):
    """(1 + LPIPS to the inputs) · (1 + FID to real images of B on ArtFID's Inception), for which B are the styles.

    As it is at that many images: the authors' program extrapolates to infinitely many unless it is told otherwise.
    `weights` is a file of the Inception's weights, `lpips_weights` one of AlexNet's.
    """

    name = "artfid"
    title = "ArtFID"
    needs = frozenset({"input", "reals"})

    def __init__(self, weights: str | None = None, lpips_weights: str | None = None) -> None:
        super().__init__(weights)
        self.lpips_weights = lpips_weights

    @property
    def extractor(self) -> ArtInception:
        return get_network(ArtInception, self.weights)

    def describe(self, batch: Batch) -> Tensor:
        """Return the distance to the input before the features, N×(1 + d)."""
        assert batch.inputs is not None
        features = super().describe(batch)
        distances = get_network(LPIPSNetwork, self.lpips_weights)(batch.outputs, batch.inputs)
        return torch.cat([distances[:, None], features], 1)

    def describe_reals(self, batch: Batch) -> Tensor:
        """Return features of real images, which have no input: N×(1 + d), the first number a zero that nobody reads."""
        features = super().describe(batch)
        return torch.cat([features.new_zeros(len(features), 1), features], 1)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return (1 + float(rows[:, 0].mean())) * (1 + measure_frechet(rows[:, 1:], reals[:, 1:]))

    def describe_network(self) -> dict[str, str]:
        lpips = get_network(LPIPSNetwork, self.lpips_weights).describe()
        return super().describe_network() | {f"lpips_{key}": value for key, value in lpips.items()}
