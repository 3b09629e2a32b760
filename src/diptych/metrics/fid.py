"""The Fréchet Inception distance (Heusel et al. 2017, https://arxiv.org/abs/1706.08500)."""

from diptych.metrics.frechet import FrechetDistance
from diptych.metrics.inception import InceptionMetric


class FID(InceptionMetric, FrechetDistance):
    """To real images of B."""

    name = "fid"
    title = "FID"
