"""The 1×1 discriminator (Isola et al. 2017, appendix 6.1.2): it judges colours and nothing else."""

from torch import Tensor, nn

from diptych.networks.layers import make_norm, normalise_spectrum, pad_to_multiple, uses_bias
from diptych.networks.registry import Channels, Network, Norm, Width


class PixelDiscriminator(Network):
    """Three 1×1 convolutions; one logit per pixel."""

    def __init__(
        self, in_channels: Channels = 3, width: Width = 64, norm: Norm = "instance", spectral_norm: bool = False
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            make_norm(norm, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )
        if spectral_norm:
            normalise_spectrum(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×1×H×W logits."""
        return self.net(pad_to_multiple(x, 1, minimum=2))  # instance norm needs more than one pixel
