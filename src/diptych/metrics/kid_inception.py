"""KID as it was published: on Inception's features (Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401)."""

from diptych.metrics.inception import InceptionMetric
from diptych.metrics.kid import KernelDistance


class KID(InceptionMetric, KernelDistance):
    """Of all images at once, rather than averaged over draws of some; papers often show it times 100 or 1000."""

    name = "kid"
    title = "KID"
    form = "{:.5f}"
