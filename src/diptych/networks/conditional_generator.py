"""One network for several styles: only the scales and shifts behind its instance norms are a style's own.

A Learned Representation for Artistic Style. Vincent Dumoulin, Jonathon Shlens, Manjunath Kudlur. ICLR 2017.
https://arxiv.org/abs/1610.07629
"""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from diptych.arguments import Range
from diptych.errors import UserError
from diptych.networks.layers import InstanceNorm, ReflectionPad, pad_to_multiple
from diptych.networks.registry import Channels, Depth, Width
from diptych.networks.statistics import fit_code
from diptych.networks.style_network import StyleNetwork

Styles = Annotated[int, Range(1, 1024)]
_SIDE = 8  # of the thumbnails by which learnt styles are known again
_UNLIKE = 0.1  # mean difference, of 2, above which a thumbnail is another image's


class ConditionalNorm(nn.Module):
    """Equation 5: γ_s (x - μ) / σ + β_s, with the code's mean of the styles' γ and β."""

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.norm = InstanceNorm(channels)
        self.scales = nn.Parameter(torch.ones(styles, channels))
        self.shifts = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = (torch.einsum("nshw,sc->nchw", code, table) for table in (self.scales, self.shifts))
        return self.norm(x) * fit_code(scale, x) + fit_code(shift, x)


class ConditionalConv(nn.Module):
    """A convolution padded by reflection, perhaps after a doubling by repetition, and its conditional norm."""

    def __init__(
        self, styles: int, inner: int, outer: int, kernel: int, stride: int = 1, doubles: bool = False
    ) -> None:
        super().__init__()
        self.doubles = doubles
        self.pad = ReflectionPad(kernel // 2)
        self.conv = nn.Conv2d(inner, outer, kernel, stride)
        self.norm = ConditionalNorm(styles, outer)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        x = interpolate(x, scale_factor=2.0) if self.doubles else x
        return self.norm(self.conv(self.pad(x)), code)


class ConditionalGenerator(StyleNetwork):
    """Johnson's network with conditional norms; a code says how much of each of the `styles` there is, adding up to 1.

    A style is known again by its image, whose thumbnail the network keeps; others cannot be painted.
    """

    thumbnails: Tensor
    translates = True
    stride = 4
    smallest = 8

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        styles: Styles = 1,
        width: Width = 32,
        blocks: Depth = 5,
    ) -> None:
        super().__init__()
        wide = 4 * width
        self.outer = nn.ModuleList(
            [
                ConditionalConv(styles, in_channels, width, 9),
                ConditionalConv(styles, width, 2 * width, 3, stride=2),
                ConditionalConv(styles, 2 * width, wide, 3, stride=2),
            ]
        )
        self.trunk = nn.ModuleList(ConditionalConv(styles, wide, wide, 3) for _ in range(2 * blocks))
        self.inner = nn.ModuleList(
            [
                ConditionalConv(styles, wide, 2 * width, 3, doubles=True),
                ConditionalConv(styles, 2 * width, width, 3, doubles=True),
            ]
        )
        self.last = ConditionalConv(styles, width, out_channels, 9)
        self.register_mean_code(styles, 1 / styles)
        self.register_buffer("thumbnails", torch.zeros(styles, 3, _SIDE, _SIDE))

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map N×C×H×W to N×C'×H×W in [-1, 1] for any H and W."""
        height, width = x.shape[-2:]
        code = self.mean_code if code is None else code
        x = pad_to_multiple(x, self.stride, self.smallest)
        for layer in self.outer:
            x = layer(x, code).relu()
        for first, second in zip(self.trunk[::2], self.trunk[1::2], strict=True):
            x = x + second(first(x, code).relu(), code)
        for layer in self.inner:
            x = layer(x, code).relu()
        return self.last(x, code).tanh()[..., :height, :width]

    def keep_thumbnail(self, number: int, style: Tensor) -> None:
        """Remember what a learnt style's image, 1×3×h×w, looks like."""
        self.thumbnails[number] = _shrink(style)[0]

    def encode_style(self, style: Tensor) -> Tensor:
        """Return the N×S×1×1 code of learnt styles' images; `UserError` for another image."""
        apart = (_shrink(style)[:, None] - self.thumbnails).abs().mean((2, 3, 4))
        nearest = apart.min(1)
        if bool((nearest.values > _UNLIKE).any()):
            raise UserError(f"this network has learnt {len(self.thumbnails)} styles, and the image is none of them")
        return self.encode_numbers(nearest.indices).to(style)

    @property
    def style_names(self) -> list[str]:
        """The numbers of the styles, in the order of the images it was trained on, from 1."""
        return [str(number + 1) for number in range(len(self.thumbnails))]

    def encode_name(self, name: str) -> Tensor:
        if name not in self.style_names:
            raise UserError(f"this network has learnt styles 1 to {len(self.thumbnails)}, not {name!r}")
        return self.encode_numbers(torch.tensor([int(name) - 1], device=self.thumbnails.device))

    def encode_numbers(self, styles: Tensor) -> Tensor:
        """Return the N×S×1×1 code of N styles by their numbers."""
        return nn.functional.one_hot(styles, len(self.thumbnails))[..., None, None].to(self.mean_code.dtype)


def _shrink(style: Tensor) -> Tensor:
    return adaptive_avg_pool2d(style, _SIDE)
