"""What artists turn: how strong the effect is, and whose colours the result has. N×3×H×W images in [-1, 1]."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from diptych.errors import UserError
from diptych.images import to_unit
from diptych.networks.symmetric import raise_power

Colours = Literal["result", "luminance", "transfer"]


@dataclass(frozen=True)
class Controls:
    """`strength` 0 gives the content back, 1 the full effect; between them images are mixed.

    `colours`: those of the `result`; the content's, and of the result only its `luminance` (Gatys et al. 2017, section
    5.1); or a `transfer` of the content's to the styles beforehand, which is done where styles are read.
    """

    strength: float = 1.0
    colours: Colours = "result"

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength = {self.strength:g} must lie between 0 and 1")
        if self.colours not in get_args(Colours):
            raise UserError(f"colours = {self.colours} must be one of {', '.join(get_args(Colours))}")

    def apply(self, content: Tensor, result: Tensor) -> Tensor:
        """Return what is wanted of a result."""
        if self.colours == "luminance":
            result = take_luminance(content, result)
        return result if self.strength == 1 else content.lerp(result, self.strength)


def take_luminance(content: Tensor, result: Tensor) -> Tensor:
    """Return the content's a and b with the result's L (CIELAB); what no screen shows is clipped."""
    from kornia.color import lab_to_rgb, rgb_to_lab

    colours, light = (rgb_to_lab(to_unit(images)) for images in (content, result))
    return lab_to_rgb(torch.cat([light[:, :1], colours[:, 1:]], dim=1)) * 2 - 1


def transfer_colours(style: Tensor, content: Tensor) -> Tensor:
    """Return a style whose pixels have the content's mean colour and covariance (Gatys et al. 2017, section 5.2).

    The linear map of least change, Σc^½ (Σc^½ Σs Σc^½)^-½ Σc^½, of 1×3×h×w and 1×3×H×W; clipped to [-1, 1].
    """
    (mean, own), (wanted, target) = (_measure_colours(image) for image in (style, content))
    root = raise_power(target, 0.5)
    matrix = root @ raise_power(root @ own @ root, -0.5) @ root
    pixels = matrix @ (style.double().flatten(2)[0] - mean) + wanted
    return pixels.view(style.shape).to(style.dtype).clamp(-1, 1)


def _measure_colours(image: Tensor) -> tuple[Tensor, Tensor]:
    pixels = image.double().flatten(2)[0]
    return pixels.mean(1, keepdim=True), torch.cov(pixels) + 1e-6 * torch.eye(
        3, dtype=torch.float64, device=image.device
    )
