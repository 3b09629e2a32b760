"""The translator of AdaIN: a frozen encoder, statistics exchanged, a decoder that learns to invert.

Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization. Xun Huang, Serge Belongie. ICCV 2017.
https://arxiv.org/abs/1703.06868
"""

from collections.abc import Sequence

from torch import Tensor

from diptych.networks.layers import pad_to_multiple
from diptych.networks.mirror import Carried, make_carried, mirror
from diptych.networks.registry import Channels
from diptych.networks.statistics import exchange_statistics, measure_statistics
from diptych.networks.style_network import StyleNetwork
from diptych.networks.vgg import Level, Preprocessing


class AdaINGenerator(StyleNetwork):
    """An encoder up to its `deepest` level, whose channels get another's statistics, and its mirror image.

    That layer of VGG is `relu{deepest}_1`; the statistics are means and deviations. The encoder is drawn at random
    here; whoever trains the decoder puts the right weights in first, and a bundle carries them.
    """

    translates = True

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        encoder: Carried = "vgg19",
        preprocessing: Preprocessing = "torchvision",
        deepest: Level = 4,
    ) -> None:
        super().__init__()
        self.encoder = make_carried(encoder, preprocessing, deepest)
        self.last = self.encoder.names[-1]
        self.decoder = mirror(self.encoder.outline(self.last), out_channels)
        self.stride = self.encoder.count_pixels(self.last)
        self.smallest = 2 * self.stride  # for the decoder's reflection padding
        self.register_mean_code(2 * self.encoder.count_channels(self.last))

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map N×3×H×W to N×3×H×W for any H and W; the decoder is linear at its end, so values may pass ±1."""
        return self.decode(exchange_statistics(self.encode(x), self.mean_code if code is None else code), x)

    def decode(self, features: Tensor, like: Tensor) -> Tensor:
        """Return the image that features are drawn as, as high and wide as another."""
        height, width = like.shape[-2:]
        return self.decoder(features)[..., :height, :width]

    def encode(self, x: Tensor) -> Tensor:
        """Return the features in which statistics are exchanged."""
        return self.extract_features(x)[self.last]

    def extract_features(self, x: Tensor, layers: Sequence[str] = ()) -> dict[str, Tensor]:
        """Return those features and the ones of other layers, by name, in one call."""
        padded = pad_to_multiple(x, self.stride, self.smallest)
        return self.encoder(padded, (*layers, self.last))

    def encode_style(self, style: Tensor) -> Tensor:
        return measure_statistics(self.encode(style))

    def encode_content(self, x: Tensor) -> Tensor:
        return self.encode_style(x)
