"""The Fréchet Inception distance (Heusel et al. 2017, https://arxiv.org/abs/1706.08500)."""

from diptych.metrics.extractor import FeatureMetric
from diptych.metrics.frechet import FrechetDistance
from diptych.metrics.inception import Inception
from diptych.metrics.network import get_network


class FID(FeatureMetric, FrechetDistance):
    """To real images of B; `resize` is `tf` (torch-fidelity), `torch` (pytorch-fid) or `clean` (clean-fid)."""

    name = "fid"
    title = "FID"

    def __init__(self, resize: str = "tf", weights: str | None = None) -> None:
        super().__init__(weights)
        self.resize = resize

    @property
    def extractor(self) -> Inception:
        return get_network(Inception, self.resize, self.weights)
