"""The colour difference to the truth that the CIE recommends.

The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test Data, and Mathematical Observations.
Sharma, Wu, Dalal. 2005. https://doi.org/10.1002/col.20070 (their numbers of equations)
"""

import math

import torch
from kornia.color import rgb_to_lab
from torch import Tensor

from diptych.images import to_unit
from diptych.metrics.metric import Batch, ImageMetric


class CIEDE2000(ImageMetric):
    """Averaged over pixels; about one is just noticeable."""

    name = "ciede2000"
    title = "CIEDE2000 to the truth"
    unit = "ΔE"
    form = "{:.2f}"
    needs = frozenset({"truth", "rgb"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.truths is not None
        return measure_ciede2000(*map(_to_lab, (batch.outputs, batch.truths))).mean((1, 2))


def measure_ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """Return the difference of colours in CIELAB, N×3×…, pixel by pixel: N×…"""
    (light, a, b), (other_light, other_a, other_b) = first.unbind(1), second.unbind(1)
    mean_chroma = (torch.hypot(a, b) + torch.hypot(other_a, other_b)) / 2  # 2, 3
    stretch = 1 + 0.5 * (1 - _saturate(mean_chroma))  # 4, 5
    chroma, hue = torch.hypot(stretch * a, b), torch.atan2(b, stretch * a)  # 6, 7
    other_chroma, other_hue = torch.hypot(stretch * other_a, other_b), torch.atan2(other_b, stretch * other_a)
    turn = _wrap(other_hue - hue)  # 10
    grey = chroma * other_chroma == 0
    mean_hue = torch.where(grey, hue + other_hue, hue + turn / 2)  # 14
    light_step, chroma_step = other_light - light, other_chroma - chroma  # 8, 9
    hue_step = 2 * (chroma * other_chroma).sqrt() * torch.sin(turn / 2)  # 11
    mean_chroma = (chroma + other_chroma) / 2  # 13
    bow = ((light + other_light) / 2 - 50).square()  # 12
    light_step = light_step / (1 + 0.015 * bow / (20 + bow).sqrt())  # 18
    chroma_step = chroma_step / (1 + 0.045 * mean_chroma)  # 19
    hue_step = hue_step / (1 + 0.015 * mean_chroma * _weigh_hue(mean_hue))  # 20
    rotation = -torch.sin(2 * _find_rotation(mean_hue)) * 2 * _saturate(mean_chroma)  # 17, 21
    squared = light_step.square() + chroma_step.square() + hue_step.square() + rotation * chroma_step * hue_step
    return squared.clamp_min(0).sqrt()  # 22


def _to_lab(images: Tensor) -> Tensor:
    return rgb_to_lab(to_unit(images.float().expand(-1, 3, -1, -1)))


def _saturate(chroma: Tensor) -> Tensor:
    power = chroma**7
    return (power / (power + 25.0**7)).sqrt()


def _wrap(angle: Tensor) -> Tensor:
    """Return an angle between -π and π."""
    return angle - 2 * math.pi * (angle / (2 * math.pi)).round()


def _weigh_hue(hue: Tensor) -> Tensor:
    """Equation 15."""
    return (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )


def _find_rotation(hue: Tensor) -> Tensor:
    """Equation 16, in radians."""
    degrees = torch.rad2deg(hue) % 360
    return math.radians(30) * torch.exp(-((degrees - 275) / 25).square())
