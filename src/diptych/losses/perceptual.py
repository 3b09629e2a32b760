"""Content and style as an encoder sees them: losses on two images' features, for `method.extras` and style transfer.

All take N×3×H×W images in [-1, 1]; the second is the reference and gets no gradient.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.hub import get_dir
from torch.nn.functional import interpolate

from diptych.errors import MachineError, UserError, name_reason
from diptych.networks import Vgg

GramScale = Literal["gatys", "positions", "johnson"]
STYLE_LAYERS = {f"relu{block}_1": 0.2 for block in range(1, 6)}


class Perceptual(ABC):
    """A sum over the encoder's layers, each with its weight."""

    def __init__(self, layers: Mapping[str, float], encoder: Vgg | None = None) -> None:
        self.layers = dict(layers)
        self.encoder = encoder or Vgg()

    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the loss, averaged over the batch."""
        self.encoder.to(device=image.device, dtype=image.dtype)
        own = self.encoder(image, tuple(self.layers))
        with torch.no_grad():
            other = self.encoder(reference, tuple(self.layers))
        terms = [weight * self.compare(own[name], other[name]) for name, weight in self.layers.items()]
        return torch.stack(terms).sum()

    @abstractmethod
    def compare(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the distance of two N×C×h×w features of one layer."""


class Content(Perceptual):
    """What is where: the mean squared difference of features (Johnson et al. 2016, equation 2)."""

    def __init__(self, layers: Mapping[str, float] | None = None, encoder: Vgg | None = None) -> None:
        super().__init__(layers or {"relu4_2": 1.0}, encoder)

    def compare(self, own: Tensor, other: Tensor) -> Tensor:
        return (own - other).square().mean()


class GramStyle(Perceptual):
    """Which features come together, wherever they are (Gatys et al. 2016, equations 3 to 5).

    `scale` names the norm of a layer with N channels and M positions: `positions` is the mean of (G/M - A/M)², `gatys`
    a quarter of that, which is Σ(G - A)² / (4 N² M²) where both images have M positions, and `johnson` the mean of
    (G/NM - A/NM)².
    """

    def __init__(
        self,
        layers: Mapping[str, float] | None = None,
        encoder: Vgg | None = None,
        scale: GramScale = "positions",
    ) -> None:
        if scale not in ("gatys", "positions", "johnson"):
            raise UserError(f"GramStyle.scale = {scale} must be one of gatys, positions, johnson")
        super().__init__(layers or STYLE_LAYERS, encoder)
        self.scale = scale

    def compare(self, own: Tensor, other: Tensor) -> Tensor:
        shares = [
            1 / (x.shape[-2] * x.shape[-1] * (x.shape[1] if self.scale == "johnson" else 1)) for x in (own, other)
        ]
        distance = (gram(own) * shares[0] - gram(other) * shares[1]).square().mean()
        return distance / 4 if self.scale == "gatys" else distance


class MomentStyle(Perceptual):
    """Mean and deviation of every channel (Huang and Belongie 2017, equation 13)."""

    def __init__(self, layers: Mapping[str, float] | None = None, encoder: Vgg | None = None) -> None:
        super().__init__(layers or STYLE_LAYERS, encoder)

    def compare(self, own: Tensor, other: Tensor) -> Tensor:
        (mean, deviation), (mean_b, deviation_b) = (_measure_moments(x) for x in (own, other))
        return (mean - mean_b).square().mean() + (deviation - deviation_b).square().mean()


class SlicedStyle(Perceptual):
    """The sliced Wasserstein distance of features, which sees their whole distribution (Heitz et al. 2021, equation 5).

    Features are projected on `directions` random lines, drawn anew in each call, and sorted.
    """

    def __init__(
        self, layers: Mapping[str, float] | None = None, encoder: Vgg | None = None, directions: int = 64
    ) -> None:
        if directions < 1:
            raise UserError(f"SlicedStyle.directions = {directions} must be at least 1")
        super().__init__(layers or STYLE_LAYERS, encoder)
        self.directions = directions

    def compare(self, own: Tensor, other: Tensor) -> Tensor:
        lines = torch.randn(self.directions, own.shape[1], device=own.device, dtype=own.dtype)
        lines = lines / lines.norm(dim=1, keepdim=True)
        one, two = ((lines @ x.flatten(2)).sort(dim=2).values for x in (own, other))
        if one.shape[2] != two.shape[2]:
            two = interpolate(two, size=one.shape[2], mode="linear", align_corners=True)
        return (one - two).square().mean()


class Lpips:
    """The learned perceptual distance (Zhang et al. 2018, equation 1) as torchmetrics computes it.

    Its linear weights come with torchmetrics, those of the network from torchvision's address or torch's cache.
    """

    def __init__(self, kind: Literal["alex", "vgg", "squeeze"] = "vgg") -> None:
        if kind not in ("alex", "vgg", "squeeze"):
            raise UserError(f"Lpips.kind = {kind} must be one of alex, vgg, squeeze")
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity  # late: it takes a while

        try:
            self.network = LearnedPerceptualImagePatchSimilarity(net_type=kind).net
        except Exception as error:  # whatever the network or the file brings
            where = Path(get_dir()) / "checkpoints"
            raise MachineError(
                f"Lpips: torchvision's weights of {kind} are not in {where} and cannot be downloaded "
                f"({name_reason(error)}); put them there, or leave the term out"
            ) from None

    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the distance of N×3×H×W images in [-1, 1], averaged over the batch."""
        self.network.to(device=image.device, dtype=image.dtype)
        distance: Tensor = self.network(image, reference.detach()).mean()
        return distance


def gram(features: Tensor) -> Tensor:
    """Return F Fᵀ of N×C×h×w features: N×C×C, summed over positions (Gatys et al. 2016, equation 3)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2)


def _measure_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    flat = features.flatten(2)
    return flat.mean(2), (flat.var(2, unbiased=False) + 1e-5).sqrt()
