"""The U-Net generator of pix2pix (Isola et al. 2017, appendix 6.1.1), of any depth."""

from typing import Annotated

import torch
from torch import Tensor, nn

from diptych.arguments import Range
from diptych.networks.layers import make_norm, normalise_spectrum, pad_to_multiple, uses_bias
from diptych.networks.registry import Channels, Network, Norm, Width

_FIRST_DROPOUT_LEVEL = 4  # pix2pix drops out in the inner blocks of full width, above the bottleneck


class UnetBlock(nn.Module):
    """Halve, pass on to the inner block, double, and set the result beside the input."""

    def __init__(self, down: list[nn.Module], inner: nn.Module | None, up: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.LeakyReLU(0.2), *down, *([inner] if inner else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        activation, *layers = self.model
        x = skip = activation(x)  # the skip carries the activated tensor, as published weights expect
        for layer in layers:
            x = layer(x)
        return torch.cat([skip, x], dim=1)


class UnetOuter(nn.Module):
    """The outermost block: image in, tanh image out."""

    def __init__(self, in_channels: int, out_channels: int, width: int, inner: nn.Module, bias: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, 2, 1, bias=bias),
            inner,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, out_channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UnetGenerator(Network):
    """`depth` halvings down to a bottleneck, with skips; `unet_256` has depth 8, `unet_128` depth 7."""

    translates = True

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        width: Width = 64,
        depth: Annotated[int, Range(2, 12)] = 8,
        norm: Norm = "instance",
        dropout: bool = False,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.stride = self.smallest = 2**depth
        widths = [width * min(2**level, 8) for level in range(depth)]
        inner: UnetBlock | None = None
        for level in reversed(range(1, depth)):
            drops = dropout and level >= _FIRST_DROPOUT_LEVEL
            inner = _make_block(widths[level - 1], widths[level], inner, norm, drops)
        assert inner is not None
        self.model = UnetOuter(in_channels, out_channels, width, inner, bias=uses_bias(norm))
        if spectral_norm:
            normalise_spectrum(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×C'×H×W for any H and W."""
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.stride, self.smallest)
        return self.model(padded)[..., :height, :width]


def _make_block(outer: int, inner_width: int, inner: nn.Module | None, norm: str, dropout: bool) -> UnetBlock:
    """One level between `outer` and `inner_width` channels; without `inner` it is the bottleneck."""
    bias = uses_bias(norm)
    down: list[nn.Module] = [nn.Conv2d(outer, inner_width, 4, 2, 1, bias=bias)]
    channels = inner_width
    if inner is not None:
        down.append(make_norm(norm, inner_width))
        channels = 2 * inner_width
    up = [nn.ReLU(), nn.ConvTranspose2d(channels, outer, 4, 2, 1, bias=bias), make_norm(norm, outer)]
    return UnetBlock(down, inner, [*up, nn.Dropout(0.5)] if dropout and inner is not None else up)
