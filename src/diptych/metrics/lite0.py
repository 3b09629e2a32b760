"""Distances by what EfficientNet-Lite0, trained on ImageNet, sees: its weights come with pip and nothing is downloaded.

They are no FID, KID, MIND or LPIPS, which look with other networks: these numbers compare only with each other.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.metrics.frechet import FrechetDistance
from diptych.metrics.kid import KernelDistance
from diptych.metrics.metric import Batch, ImageMetric, Metric
from diptych.metrics.mind import MindDistance
from diptych.networks import EfficientNetLite
from diptych.networks.efficientnet_lite import SHA256

_SIDE = 224  # of the images that it was trained on
_AT_ONCE = 8  # images, so that memory stays bounded


class Lite0:
    """Looks at N×C×H×W images in [-1, 1], C 1 or 3, at the size that the network was trained on."""

    def __init__(self) -> None:
        self.network = EfficientNetLite(rescale=False)

    @torch.no_grad()
    def pool(self, images: Tensor) -> Tensor:
        """Return the pooled features that the classifier decides by, N×1280."""
        return torch.cat([self.network.classify(self._prepare(some))[1] for some in images.split(_AT_ONCE)])

    @torch.no_grad()
    def list_directions(self, images: Tensor) -> list[Tensor]:
        """Return the features of five resolutions, N×C×h×w, each position's of length one."""
        levels = self.network.levels
        found = self.network(self._prepare(images), levels)
        return [F.normalize(found[level], dim=1) for level in levels]

    def _prepare(self, images: Tensor) -> Tensor:
        images = images.float().expand(-1, 3, -1, -1)
        self.network.move_to(images)
        return F.interpolate(images, size=(_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)


@cache
def get_lite0() -> Lite0:
    """Return the one network; `MachineError` says what to install where there are no weights."""
    return Lite0()


class _Lite0Metric(Metric):
    needs = frozenset({"reals", "rgb"})

    def describe(self, batch: Batch) -> Tensor:
        return batch.look(get_lite0().pool)

    def describe_network(self) -> dict[str, str]:
        return {"network": "EfficientNet-Lite0 (ImageNet)", "resize": f"bilinear {_SIDE}", "sha256": SHA256}


class FidLite0(_Lite0Metric, FrechetDistance):
    """The Fréchet distance, which depends on how many images there are."""

    name = "fid_lite0"
    title = "Fréchet distance (Lite0 features)"


class KidLite0(_Lite0Metric, KernelDistance):
    """The kernel distance."""

    name = "kid_lite0"
    title = "kernel distance (Lite0 features)"


class MindLite0(_Lite0Metric, MindDistance):
    """The sliced Wasserstein distance."""

    name = "mind_lite0"
    title = "MIND (Lite0 features)"


class LpipsLite0(_Lite0Metric, ImageMetric):
    """The squared distance to the truth of features of length one, averaged over positions and five resolutions.

    The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. Zhang, Isola, Efros, Shechtman, Wang. 2018,
    equation 1 without learnt weights. https://arxiv.org/abs/1801.03924
    """

    name = "lpips_lite0"
    title = "perceptual distance to the truth (Lite0)"
    needs = frozenset({"truth", "rgb"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        pairs = zip(batch.outputs.split(_AT_ONCE), batch.truths.split(_AT_ONCE), strict=True)
        return torch.cat([_compare(*pair) for pair in pairs])


def _compare(first: Tensor, second: Tensor) -> Tensor:
    levels = zip(*map(get_lite0().list_directions, (first, second)), strict=True)
    return torch.stack([(one - other).square().sum(1).mean((1, 2)) for one, other in levels]).mean(0)
