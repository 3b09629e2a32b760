"""A translator whose encoders are learnt as halves of autoencoders: content features meet the code of a style.

The parts are those of A Unified Framework for Generalizable Style Transfer: Style and Content Separation. Yexun Zhang,
Ya Zhang, Wenbin Cai. 2018. https://arxiv.org/abs/1806.05173
"""

from typing import Literal

import torch
from torch import Tensor, nn

from diptych.arguments import Share
from diptych.errors import UserError
from diptych.networks.layers import ReflectionPad, pad_to_multiple
from diptych.networks.registry import Channels, Network, Width
from diptych.networks.statistics import exchange_statistics, fit_code, measure_statistics
from diptych.networks.style_network import StyleNetwork
from diptych.networks.winograd import Conv3x3

FusionKind = Literal["concatenate", "adain", "weighted"]

# Nothing is normalised anywhere: means and deviations are the style, and a norm would take them out (as in AdaIN).


class FusionEncoder(Network, registered=False):
    """An image to 4·`width` features at a quarter of its size."""

    stride = 4
    smallest = 2 * stride  # two positions a side at the quarter, for the reflection padding

    def __init__(self, in_channels: Channels = 3, width: Width = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [ReflectionPad(3), nn.Conv2d(in_channels, width, 7), nn.ReLU()]
        for channels in (width, 2 * width):
            layers += [ReflectionPad(1), nn.Conv2d(channels, 2 * channels, 3, stride=2), nn.ReLU()]
        layers += [ReflectionPad(1), Conv3x3(4 * width, 4 * width), nn.ReLU()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×4·width×h×w; H and W are padded to multiples of the stride."""
        return self.model(pad_to_multiple(x, self.stride, self.smallest))


class FusionDecoder(Network, registered=False):
    """The way back: resized, then convolved (Odena et al. 2016), to an image within ±1."""

    def __init__(self, out_channels: Channels = 3, width: Width = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [ReflectionPad(1), Conv3x3(4 * width, 4 * width), nn.ReLU()]
        for channels in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), ReflectionPad(1), Conv3x3(channels, channels // 2), nn.ReLU()]
        layers += [ReflectionPad(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, features: Tensor, like: Tensor) -> Tensor:
        """Map N×4·width×h×w to N×C×H×W, H and W those of `like`, from which the features are."""
        height, width = like.shape[-2:]
        return self.model(features)[..., :height, :width]


class FusionGenerator(StyleNetwork):
    """Content features and a style's code, fused and decoded.

    A code is the means and deviations of the style encoder's features over positions. `fusion` of features x with means
    μ and deviations σ: `concatenate` sets both beside x at each place and mixes the channels linearly, `adain` gives x
    these statistics, `weighted` is `share`·x + (1 - `share`)·μ.
    """

    translates = True
    stride = FusionEncoder.stride
    smallest = FusionEncoder.smallest

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        width: Width = 32,
        fusion: FusionKind = "adain",
        share: Share = 0.5,
    ) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise UserError(
                f"FusionGenerator: in_channels = {in_channels} and out_channels = {out_channels} must be equal; "
                "it looks for style in images of both domains"
            )
        self.content_encoder = FusionEncoder(in_channels, width)
        self.style_encoder = FusionEncoder(out_channels, width)
        self.mix = nn.Conv2d(12 * width, 4 * width, 1) if fusion == "concatenate" else nn.Identity()
        self.decoder = FusionDecoder(out_channels, width)
        self.fusion, self.share = fusion, share
        self.register_mean_code(8 * width)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map N×C×H×W to N×C×H×W for any H and W."""
        features = self.fuse(self.content_encoder(x), self.mean_code if code is None else code)
        return self.decoder(features, x)

    def fuse(self, features: Tensor, code: Tensor) -> Tensor:
        """Return N×4·width×h×w: the features with the style of a code of one place or of several."""
        if self.fusion == "adain":
            return exchange_statistics(features, code)
        code = fit_code(code, features)
        if self.fusion == "concatenate":
            everywhere = code.expand(len(features), -1, *features.shape[-2:])
            return self.mix(torch.cat([features, everywhere], dim=1))
        mean, _ = code.chunk(2, dim=1)
        return self.share * features + (1 - self.share) * mean

    def encode_style(self, style: Tensor) -> Tensor:
        return measure_statistics(self.style_encoder(style))

    def encode_content(self, x: Tensor) -> Tensor:
        return self.encode_style(x)  # with x as content and as style, x is what the decoder learns to paint
