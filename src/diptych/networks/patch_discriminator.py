"""The PatchGAN discriminator (Isola et al. 2017, appendix 6.1.2): one logit per overlapping patch."""

from typing import Literal

from torch import Tensor, nn

from diptych.networks.layers import BlurDown, make_norm, normalise_spectrum, pad_to_multiple, uses_bias
from diptych.networks.registry import Channels, Depth, Network, Norm, Width


class PatchDiscriminator(Network):
    """`layers` halvings; 3 of them see 70×70 patches, 2 see 34×34, 1 sees 16×16."""

    def __init__(
        self,
        in_channels: Channels = 3,
        width: Width = 64,
        layers: Depth = 3,
        norm: Norm = "instance",
        downsampling: Literal["strided", "antialias"] = "strided",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(layers + 1)]
        self.smallest = 3 * 2**layers
        model = _conv4(in_channels, width, None, downsampling, bias=True)
        for level in range(1, layers):
            model += _conv4(widths[level - 1], widths[level], norm, downsampling, uses_bias(norm))
        model += _conv4(widths[-2], widths[-1], norm, "no", uses_bias(norm))
        self.model = nn.Sequential(*model, nn.Conv2d(widths[-1], 1, 4, padding=1))
        if spectral_norm:
            normalise_spectrum(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×1×h×w logits; an image smaller than a patch is extended by reflection."""
        return self.model(pad_to_multiple(x, 1, minimum=self.smallest))


def _conv4(inner: int, outer: int, norm: str | None, downsampling: str, bias: bool) -> list[nn.Module]:
    """A 4×4 convolution, its norm if any and its activation, halving as `downsampling` says."""
    stride = 2 if downsampling == "strided" else 1
    layers: list[nn.Module] = [nn.Conv2d(inner, outer, 4, stride=stride, padding=1, bias=bias)]
    if norm:
        layers.append(make_norm(norm, outer))
    layers.append(nn.LeakyReLU(0.2, inplace=True))
    return [*layers, BlurDown(outer)] if downsampling == "antialias" else layers
