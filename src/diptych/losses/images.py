"""Image-level losses: N×C×H×W images in [-1, 1] and a reference of the same size.

The libraries are imported where they are used: whoever needs none of these losses need not wait for them.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.arguments import Count, Range
from diptych.errors import UserError
from diptych.losses.precision import in_float32

_MS_SSIM_SMALLEST = 176  # torchmetrics' limit for five scales of an 11-pixel window


class TotalVariation:
    """How rough an image is, whatever the reference: the mean of (dx² + dy²)^(exponent / 2) over positions.

    `exponent` 2.5 is the form of Σ(dx² + dy²)^1.25, 1 the isotropic one of Rudin et al. 1992, 2 the squared one. Where
    the root has no slope, at a flat place, the gradient is zero. With `total` it is the sum, for an image in [0, 255].
    """

    def __init__(self, exponent: Annotated[float, Range(1, 16)] = 2.0, total: bool = False) -> None:
        if exponent < 1:
            raise UserError(f"TotalVariation.exponent = {exponent} must be at least 1")
        self.exponent, self.total = exponent, total

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Return the mean (or sum) over channels and positions with a right and a lower neighbour, per image."""
        image = image * 127.5 if self.total else image
        here = image[..., :-1, :-1]
        squares = (image[..., 1:, :-1] - here).square() + (image[..., :-1, 1:] - here).square()
        if self.exponent < 2:
            squares = squares.clamp(min=1e-12)
        powers = squares.pow(self.exponent / 2)
        return powers.sum() / len(image) if self.total else powers.mean()


class LowResolution:
    """L1 between both images averaged over `factor`×`factor` blocks: colours and layout stay, detail is free.

    The consistency loss of UVCGANv2 (Torbunov et al. 2023, section 3.3), with averaging for its resize.
    """

    def __init__(self, factor: Count = 8) -> None:
        if factor < 1:
            raise UserError(f"LowResolution.factor = {factor} must be at least 1")
        self.factor = factor

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean distance of two N×C×H×W images."""
        blocks, others = (F.avg_pool2d(x, self.factor, ceil_mode=True) for x in (image, reference))
        return F.l1_loss(blocks, others)


class StructuralDissimilarity:
    """1 - SSIM (Wang et al. 2004), or 1 - MS-SSIM with `scales`; images below 176 pixels have no five scales."""

    def __init__(self, multiscale: bool = False) -> None:
        self.multiscale = multiscale

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean over the batch, in [0, 2]."""
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure,
            structural_similarity_index_measure,
        )

        similarity: Tensor
        if not self.multiscale:
            similarity = structural_similarity_index_measure(image, reference, data_range=2.0)  # type: ignore[assignment]
            return 1 - similarity
        least = _MS_SSIM_SMALLEST
        if min(image.shape[-2:]) < least:
            raise UserError(f"MS-SSIM needs images of at least {least} pixels a side; use multiscale: false")
        similarity = multiscale_structural_similarity_index_measure(image, reference, data_range=2.0, normalize="relu")
        return 1 - similarity


class LabMean:
    """The distance of both images' mean colours in CIELAB, divided by 100: whether the palette drifts."""

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean over the batch."""
        one, other = (_to_lab(x).mean((2, 3)) for x in (image, reference))
        return ((one - other).square().sum(1) + 1e-12).sqrt().mean() / 100


class LabHistogram:
    """The distance of both images' histograms of L, a and b, each bin smoothed so that colours can move to the next.

    The mean absolute difference of cumulative shares: the Wasserstein distance of each channel, in units of its range.
    """

    def __init__(self, bins: Annotated[int, Range(2, 4096)] = 32) -> None:
        if bins < 2:
            raise UserError(f"LabHistogram.bins = {bins} must be at least 2")
        self.bins = bins

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean over channels and the batch."""
        one, other = (self._accumulate(_to_lab(x)) for x in (image, reference))
        return (one - other).abs().mean()

    def _accumulate(self, lab: Tensor) -> Tensor:
        """Return N×3×bins: the soft share of pixels below each edge."""
        low, high = lab.new_tensor([0.0, -110.0, -110.0]), lab.new_tensor([100.0, 110.0, 110.0])
        unit = (lab.flatten(2) - low.view(1, 3, 1)) / (high - low).view(1, 3, 1)
        edges = torch.linspace(0, 1, self.bins + 1, device=lab.device, dtype=lab.dtype)[1:]
        return torch.stack([torch.sigmoid((edge - unit) * 4 * self.bins).mean(2) for edge in edges], dim=2)


class EdgeConsistency:
    """L1 between the strengths of both images' edges, by Sobel's operator on their luminance."""

    @in_float32
    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean over positions."""
        one, other = (_measure_edges(x) for x in (image, reference))
        return F.l1_loss(one, other)


def _measure_edges(image: Tensor) -> Tensor:
    from kornia.filters import spatial_gradient

    gradient = spatial_gradient(image.mean(1, keepdim=True))
    return (gradient.square().sum(2) + 1e-8).sqrt()


def _to_lab(image: Tensor) -> Tensor:
    from kornia.color import rgb_to_lab

    if image.shape[1] != 3:
        raise UserError(f"a loss of colours needs RGB, not {image.shape[1]} channels")
    return rgb_to_lab(((image + 1) / 2).clamp(0, 1))
