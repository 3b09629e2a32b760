"""A translator whose style is a place on a scale: 0 is the image itself, 1 the other domain."""

import torch
from torch import Tensor, nn

from diptych.methods import GAN, Images, Terms
from diptych.networks import StyleNetwork


class ScaledNetwork(StyleNetwork):
    """Adds as much of a convolution's change as the scale says."""

    translates = True

    def __init__(self, in_channels: int = 3, out_channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.register_mean_code(1, 1.0)

    def encode_number(self, number: float) -> Tensor:
        return torch.full((1, 1, 1, 1), number)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        return (x + (self.mean_code if code is None else code) * self.conv(x)).clamp(-1, 1)


class Scaled(GAN):
    """The end of the scale meets the discriminator, its middle stays near the image."""

    def render(self, batch: Images) -> Images:
        """Return `half_b` beside `real_a`, `real_b` and `fake_b`: N×3×H×W each."""
        half = self.generator_ab(batch["a"], self.generator_ab.encode_number(0.5))
        return super().render(batch) | {"half_b": half}

    def generator_terms(self, images: Images) -> Terms:
        """The adversarial loss, and how far the middle is from the input."""
        return super().generator_terms(images) | {"middle": (images["half_b"] - images["real_a"]).abs().mean()}
