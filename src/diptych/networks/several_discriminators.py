"""Several discriminators in the place of one, each with its share of the loss."""

from typing import Annotated

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from diptych.arguments import Range
from diptych.networks.patch_discriminator import PatchDiscriminator
from diptych.networks.pixel_discriminator import PixelDiscriminator
from diptych.networks.registry import Channels, Depth, Network, Norm, Width

Share = Annotated[float, Range(0.0, 1000.0)]


class MultiscaleDiscriminator(Network):
    """The same PatchGAN at several resolutions, each half the one before (Wang et al. 2018, section 3.2)."""

    def __init__(
        self,
        in_channels: Channels = 3,
        width: Width = 64,
        layers: Depth = 3,
        norm: Norm = "instance",
        scales: Annotated[int, Range(1, 5)] = 3,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, width, layers, norm, spectral_norm=spectral_norm) for _ in range(scales)
        )
        self.shares = [1 / scales] * scales

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map N×C×H×W to a map of logits per scale, the finest first."""
        maps = []
        for discriminator in self.scales:
            maps.append(discriminator(x))
            x = avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return tuple(maps)


class MixedDiscriminator(Network):
    """A PatchGAN for texture and a per-pixel discriminator for colour, weighed by their shares."""

    def __init__(
        self,
        in_channels: Channels = 3,
        width: Width = 64,
        layers: Depth = 3,
        norm: Norm = "instance",
        patch_share: Share = 0.5,
        pixel_share: Share = 0.5,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(in_channels, width, layers, norm, spectral_norm=spectral_norm)
        self.pixel = PixelDiscriminator(in_channels, width, norm, spectral_norm)
        self.shares = [patch_share, pixel_share]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map N×C×H×W to the patches' logits and the pixels' logits."""
        return self.patch(x), self.pixel(x)
