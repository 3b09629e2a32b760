"""The residual generator of Johnson et al. 2016 in the form of CycleGAN (Zhu et al. 2017, appendix 7.2).

The layers stand in one `Sequential` in the published order, so that published weights load as they are
and so that a layer's number means what papers such as CUT mean by it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diptych.arguments import Range
from diptych.errors import UserError
from diptych.networks.features import FeatureNetwork
from diptych.networks.layers import (
    BlurDown,
    BlurUp,
    ReflectionPad,
    make_norm,
    normalise_spectrum,
    pad_to_multiple,
    uses_bias,
)
from diptych.networks.registry import Channels, Norm, Width
from diptych.networks.winograd import Conv3x3

_HALVINGS = 2


class ResnetBlock(nn.Module):
    """x + f(x), f two reflection-padded 3×3 convolutions; no activation after the sum."""

    def __init__(self, width: int, norm: str, dropout: bool, separable: bool = False) -> None:
        super().__init__()
        conv3 = _separable_conv3 if separable else _conv3
        first = [*conv3(width, norm), nn.ReLU(inplace=True)]
        middle = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(*first, *middle, *conv3(width, norm))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(FeatureNetwork):
    """Two halvings, `blocks` residual blocks, two doublings; tanh output of the input's size.

    A `residual` generator's tanh is the change that is made to the input, so that it starts as a copy. In a `separable`
    one the trunk's convolutions are depthwise, then pointwise: an eighth of its weights and multiplications. Without
    blocks it is a plain convolutional encoder–decoder.
    """

    translates = True
    stride = 2**_HALVINGS
    smallest = 2 * stride  # the trunk's reflection padding needs at least two pixels a side

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        width: Width = 64,
        blocks: Annotated[int, Range(0, 64)] = 9,
        norm: Norm = "instance",
        dropout: bool = False,
        upsampling: Literal["transposed", "resize", "antialias"] = "transposed",
        downsampling: Literal["strided", "antialias"] = "strided",
        spectral_norm: bool = False,
        residual: bool = False,
        separable: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            ReflectionPad(3),
            nn.Conv2d(in_channels, width, 7, bias=uses_bias(norm)),
            *_normalised(width, norm),
        ]
        for level in range(_HALVINGS):
            layers += _halve(width * 2**level, norm, downsampling)
        self._trunk = range(len(layers), len(layers) + blocks)
        layers += [ResnetBlock(width * self.stride, norm, dropout, separable) for _ in self._trunk]
        for level in reversed(range(_HALVINGS)):
            layers += _double(width * 2**level, norm, upsampling)
        layers += [ReflectionPad(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        if residual and in_channels != out_channels:
            raise UserError("ResnetGenerator.residual = True: in_channels and out_channels must be equal")
        self.residual = residual
        counts = norm == "batch" or spectral_norm  # statistics that would count images twice
        self.recomputes = None if counts else False
        if spectral_norm:
            normalise_spectrum(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×C'×H×W for any H and W."""
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.stride, self.smallest)
        result = self._run(padded)[..., :height, :width]
        return (x + 2 * result).clamp(-1, 1) if self.residual else result

    @property
    def depth(self) -> int:
        return self._trunk.stop

    @property
    def default_layers(self) -> list[int]:
        """The padded image, both halvings, the first block and the middle one (0, 4, 8, 12, 16 in CUT's network).

        Without blocks, what the halvings end in.
        """
        trunk = self._trunk or range(self.depth - 1, self.depth)
        halvings = [index for index in range(2, self._trunk.start) if isinstance(self.model[index], nn.Conv2d)]
        return sorted({0, *halvings, trunk[0], trunk[len(trunk) // 2]})

    def features(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return outputs of modules of the published `Sequential`, by their numbers there."""
        x = pad_to_multiple(x, self.stride, self.smallest)
        found = []
        for index, layer in enumerate(self.model[: max(layers) + 1]):
            x = layer(x)
            if index in layers:
                found.append(x)
        return found

    def _run(self, x: Tensor) -> Tensor:
        if not (self.recomputes and torch.is_grad_enabled()):
            return self.model(x)
        for stage in self._stages():
            x = checkpoint(stage, x, use_reentrant=False)
        return x

    def _stages(self) -> list[nn.Sequential]:
        """Return what comes before the trunk, each of its blocks, and what comes after."""
        edges = [0, *self._trunk, self._trunk.stop, len(self.model)]
        return [self.model[start:end] for start, end in pairwise(edges)]


def _normalised(width: int, norm: str) -> list[nn.Module]:
    return [make_norm(norm, width), nn.ReLU(inplace=True)]


def _conv3(width: int, norm: str) -> list[nn.Module]:
    return [ReflectionPad(1), Conv3x3(width, width, bias=uses_bias(norm)), make_norm(norm, width)]


def _separable_conv3(width: int, norm: str) -> list[nn.Module]:
    """A filter per channel, its norm, and the mixing of channels (Howard et al. 2017, as in GAN Compression)."""
    bias = uses_bias(norm)
    depthwise = nn.Conv2d(width, width, 3, groups=width, bias=bias)
    return [
        ReflectionPad(1),
        depthwise,
        make_norm(norm, width),
        nn.Conv2d(width, width, 1, bias=bias),
        make_norm(norm, width),
    ]


def _halve(width: int, norm: str, kind: str) -> list[nn.Module]:
    """From `width` to 2·`width` channels at half the resolution."""
    stride = 2 if kind == "strided" else 1
    conv = nn.Conv2d(width, 2 * width, 3, stride=stride, padding=1, bias=uses_bias(norm))
    blur = [BlurDown(2 * width)] if kind == "antialias" else []
    return [conv, *_normalised(2 * width, norm), *blur]


def _double(width: int, norm: str, kind: str) -> list[nn.Module]:
    """From 2·`width` to `width` channels at twice the resolution."""
    bias = uses_bias(norm)
    if kind == "transposed":
        up: list[nn.Module] = [nn.ConvTranspose2d(2 * width, width, 3, 2, padding=1, output_padding=1, bias=bias)]
    elif kind == "antialias":
        up = [BlurUp(2 * width), nn.Conv2d(2 * width, width, 3, padding=1, bias=bias)]
    else:  # Odena 2016: resize, then convolve
        up = [nn.Upsample(scale_factor=2), ReflectionPad(1), nn.Conv2d(2 * width, width, 3, bias=bias)]
    return [*up, *_normalised(width, norm)]
