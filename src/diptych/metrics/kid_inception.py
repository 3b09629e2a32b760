"""KID as it was published: on Inception's features (Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401)."""

from diptych.metrics.extractor import FeatureMetric
from diptych.metrics.inception import Inception
from diptych.metrics.kid import KernelDistance
from diptych.metrics.network import get_network


class KID(FeatureMetric, KernelDistance):
    """Of all images at once, rather than averaged over draws of some; papers often show it times 100 or 1000."""

    name = "kid"
    title = "KID"
    form = "{:.5f}"

    def __init__(self, resize: str = "tf", weights: str | None = None) -> None:
        super().__init__(weights)
        self.resize = resize

    @property
    def extractor(self) -> Inception:
        return get_network(Inception, self.resize, self.weights)
