"""The content's colours kept: after a translation, or on a style before. N×3×H×W images in [-1, 1].

Controlling Perceptual Factors in Neural Style Transfer, section 5. Leon A. Gatys, Alexander S. Ecker, Matthias Bethge,
Aaron Hertzmann, Eli Shechtman. CVPR 2017. https://arxiv.org/abs/1611.07865
"""

import torch
from torch import Tensor

from diptych.images import to_unit
from diptych.networks.statistics import raise_power


def take_luminance(content: Tensor, result: Tensor) -> Tensor:
    """Return the content's a and b with the result's L (CIELAB); what no screen shows is clipped."""
    from kornia.color import lab_to_rgb, rgb_to_lab

    colours, light = (rgb_to_lab(to_unit(images)) for images in (content, result))
    return lab_to_rgb(torch.cat([light[:, :1], colours[:, 1:]], dim=1)) * 2 - 1


def transfer_colours(style: Tensor, content: Tensor) -> Tensor:
    """Return a style whose pixels have the content's mean colour and covariance (section 5.2).

    The linear map of least change, Σc^½ (Σc^½ Σs Σc^½)^-½ Σc^½, of 1×3×h×w and 1×3×H×W; clipped to [-1, 1].
    """
    (mean, covariance), (target_mean, target) = (_measure_colours(image) for image in (style, content))
    root = raise_power(target, 0.5)
    matrix = root @ raise_power(root @ covariance @ root, -0.5) @ root
    pixels = matrix @ (style.double().flatten(2)[0] - mean) + target_mean
    return pixels.view(style.shape).to(style.dtype).clamp(-1, 1)


def _measure_colours(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 3×1 mean and the 3×3 covariance of an image's pixels."""
    pixels = image.double().flatten(2)[0]
    ridge = 1e-6 * torch.eye(3, dtype=torch.float64, device=image.device)
    return pixels.mean(1, keepdim=True), torch.cov(pixels) + ridge
