"""What artists turn: how strong the effect is, and whose colours the result has. N×3×H×W images in [-1, 1]."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from diptych.errors import UserError
from diptych.images import Form, to_unit
from diptych.networks.statistics import raise_power

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

    def check(self, content: Form, result: Form, masked: bool = False) -> None:
        """Raise `UserError` where a translator from one form to another cannot be controlled so."""
        turns = f"this translator turns {_describe(content)} into {_describe(result)}"
        if self.colours == "transfer":
            raise UserError("colours = transfer: no style image is read here; say luminance, or use diptych stylize")
        if self.colours == "luminance" and any(form.channels != 3 or form.holds_numbers for form in (content, result)):
            raise UserError(f"colours = luminance: {turns}, and only RGB pictures have colours to keep; say result")
        if (masked or self.strength < 1) and (content.channels, content.range) != (result.channels, result.range):
            asked = "a mask" if self.strength == 1 else f"strength = {self.strength:g}"
            raise UserError(f"{asked}: {turns}, which cannot be mixed; leave it out")

    def apply(self, content: Tensor, result: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what is wanted of a result, where an N×1×H×W mask from 0 to 1 wants it."""
        if mask is None and self.strength == 1 and self.colours != "luminance":
            return result
        content, result = content.to(result), result.clamp(-1, 1)
        if self.colours == "luminance":
            result = take_luminance(content, result)
        return content.lerp(result, self.strength if mask is None else self.strength * mask.to(result))


FULL = Controls()


def _describe(form: Form) -> str:
    """Say what files of a form hold: `1 channel of -1000…3000`."""
    channels = f"{form.channels} channel{'s' * (form.channels > 1)}"
    return channels if form.range is None else f"{channels} of {form.range[0]:g}…{form.range[1]:g}"


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
