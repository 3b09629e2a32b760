"""The Fréchet distance on DINOv2's features, which agrees with people where Inception's does not.

Exposing Flaws of Generative Model Evaluation Metrics and Their Unfair Treatment of Diffusion Models. Stein et al. 2023.
https://arxiv.org/abs/2306.04675
"""

from diptych.metrics.extractor import FeatureMetric
from diptych.metrics.frechet import FrechetDistance
from diptych.metrics.network import get_network
from diptych.metrics.transformer import DINOv2


class DINOFrechet(FeatureMetric, FrechetDistance):
    """To real images of B."""

    name = "dino_fd"
    title = "FD (DINOv2)"

    @property
    def extractor(self) -> DINOv2:
        return get_network(DINOv2, self.weights)
