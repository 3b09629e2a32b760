"""Content and style as an encoder sees them: losses on two images' features, for `method.extras` and style transfer.

All take N×3×H×W images in [-1, 1]; the second is the reference and gets no gradient.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import torch
from torch import Tensor
from torch.hub import get_dir
from torch.nn.functional import interpolate

from diptych.arguments import Range
from diptych.errors import MachineError, UserError, name_reason
from diptych.losses.precision import in_float32
from diptych.networks import Encoder, Vgg

GramScale = Literal["gatys", "positions", "channels", "pixels", "johnson"]
Layers = Mapping[str, float]


class Perceptual(ABC):
    """A sum over the encoder's layers, each with its weight, of distances between what features are described by."""

    def __init__(self, layers: Layers | None = None, encoder: Encoder | None = None) -> None:
        self.encoder = encoder or Vgg()
        self.layers = dict(layers or self.choose_layers())

    def choose_layers(self) -> Layers:
        """Return the layers that are looked at where nobody says which: the encoder's for style, weighted alike."""
        return dict.fromkeys(self.encoder.style_layers, 1 / len(self.encoder.style_layers))

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the loss, averaged over the batch."""
        self.encoder.move_to(image)
        own = self.encoder(image, tuple(self.layers))
        with torch.no_grad():
            other = self.encoder(reference, tuple(self.layers))
        described = {name: self.describe(feature, count_positions(reference)) for name, feature in other.items()}
        return self.compare(own, described, count_positions(image))

    def compare(self, features: Mapping[str, Tensor], described: Mapping[str, Tensor], positions: int) -> Tensor:
        """Return the loss of an image's features, of so many pixels, to the described layers of a reference."""
        terms = [
            weight * self.measure(self.describe(features[name], positions), described[name])
            for name, weight in self.layers.items()
        ]
        return torch.stack(terms).sum()

    @abstractmethod
    def describe(self, features: Tensor, positions: int, guide: Tensor | None = None) -> Tensor:
        """Return what is compared of a layer's N×C×h×w features of an image with so many pixels.

        `guide`, N×1×h×w of mean one, says how much each place counts.
        """

    @abstractmethod
    def measure(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the distance of two descriptions of one layer, averaged over the batch."""

    def stack(self, described: Sequence[Tensor]) -> Tensor:
        """Return one layer's descriptions of several images, perhaps of several sizes, as that of a batch of them."""
        return torch.cat(list(described))


class Content(Perceptual):
    """What is where: the mean squared difference of features (Johnson et al. 2016, equation 2).

    With `scale` gatys half the sum of squares (Gatys et al. 2016, equation 1).
    """

    def __init__(
        self,
        layers: Layers | None = None,
        encoder: Encoder | None = None,
        scale: Literal["mean", "gatys"] = "mean",
    ) -> None:
        if scale not in ("mean", "gatys"):
            raise UserError(f"Content.scale = {scale} must be one of mean, gatys")
        super().__init__(layers, encoder)
        self.scale = scale

    def choose_layers(self) -> Layers:
        return {self.encoder.content_layer: 1.0}

    def describe(self, features: Tensor, positions: int, guide: Tensor | None = None) -> Tensor:
        return features

    def measure(self, own: Tensor, other: Tensor) -> Tensor:
        squares = (own - other).square()
        return squares.mean() if self.scale == "mean" else squares.sum() / (2 * len(own))


class GramStyle(Perceptual):
    """Which features come together, wherever they are (Gatys et al. 2016, equations 3 to 5).

    `scale` names the norm of the Gram matrix G of a layer with N channels and M positions, A that of the reference:

    - `positions`: the mean over N² of (G/M - A/M)²
    - `gatys`: a quarter of that, Σ(G - A)² / 4N²M² where both images have M positions
    - `channels`: Σ(G - A)² / N²
    - `pixels`: Σ(G - A)² / 4N²P², P the image's pixels whatever the layer
    - `johnson`: the mean over N² of (G/NM - A/NM)²
    """

    def __init__(
        self,
        layers: Layers | None = None,
        encoder: Encoder | None = None,
        scale: GramScale = "positions",
    ) -> None:
        if scale not in get_args(GramScale):
            raise UserError(f"GramStyle.scale = {scale} must be one of {', '.join(get_args(GramScale))}")
        super().__init__(layers, encoder)
        self.scale = scale

    def describe(self, features: Tensor, positions: int, guide: Tensor | None = None) -> Tensor:
        channels, own = features.shape[1], count_positions(features)
        if guide is not None:  # Gatys et al. 2017, equation 4
            features = features * guide.sqrt()
        shares = {"channels": 1, "pixels": positions, "johnson": channels * own}
        return gram(features) / shares.get(self.scale, own)

    def measure(self, own: Tensor, other: Tensor) -> Tensor:
        distance = (own - other).square().mean()
        return distance / 4 if self.scale in ("gatys", "pixels") else distance


class MomentStyle(Perceptual):
    """Mean and deviation of every channel (Huang and Belongie 2017, equation 13)."""

    def describe(self, features: Tensor, positions: int, guide: Tensor | None = None) -> Tensor:
        return torch.stack(measure_moments(features, guide), dim=1)

    def measure(self, own: Tensor, other: Tensor) -> Tensor:
        return (own - other).square().mean((0, 2)).sum()


class SlicedStyle(Perceptual):
    """The sliced Wasserstein distance of features, which sees their whole distribution (Heitz et al. 2021, equation 5).

    Features are projected on `directions` random lines, drawn anew in each call, and sorted.
    """

    def __init__(
        self,
        layers: Layers | None = None,
        encoder: Encoder | None = None,
        directions: Annotated[int, Range(1, 4096)] = 64,
    ) -> None:
        if directions < 1:
            raise UserError(f"SlicedStyle.directions = {directions} must be at least 1")
        super().__init__(layers, encoder)
        self.directions = directions

    def describe(self, features: Tensor, positions: int, guide: Tensor | None = None) -> Tensor:
        if guide is not None:
            raise UserError("SlicedStyle takes no masks; GramStyle and MomentStyle do")
        return features.flatten(2)

    def stack(self, described: Sequence[Tensor]) -> Tensor:
        """Return as many of each image's features as the smallest has, spread evenly over its positions."""
        fewest = min(features.shape[2] for features in described)
        return torch.cat([interpolate(features, size=fewest, mode="nearest-exact") for features in described])

    def measure(self, own: Tensor, other: Tensor) -> Tensor:
        lines = torch.randn(self.directions, own.shape[1], device=own.device, dtype=own.dtype)
        lines = lines / lines.norm(dim=1, keepdim=True)
        one, two = ((lines @ x).sort(dim=2).values for x in (own, other))
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

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the distance of N×3×H×W images in [-1, 1], averaged over the batch."""
        self.network.to(device=image.device, dtype=image.dtype)
        distance: Tensor = self.network(image, reference.detach()).mean()
        return distance


def gram(features: Tensor) -> Tensor:
    """Return F Fᵀ of N×C×h×w features: N×C×C, summed over positions (Gatys et al. 2016, equation 3)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2)


def measure_moments(features: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the N×C means and deviations of N×C×h×w features over their positions."""
    flat = features.flatten(2)
    weights = flat.new_ones(1, 1, 1) if guide is None else guide.flatten(2)
    mean = (weights * flat).mean(2)
    variance = (weights * (flat - mean[..., None]).square()).mean(2)
    return mean, (variance + 1e-5).sqrt()


def count_positions(images: Tensor) -> int:
    """Return how many pixels an image has, or positions a layer."""
    return images.shape[-2] * images.shape[-1]
