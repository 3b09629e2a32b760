"""A translator that samples its style: one image, many translations."""

import torch
from torch import Generator, Tensor, nn

from diptych.methods import GAN, Images
from diptych.networks import StyleNetwork


class SampledNetwork(StyleNetwork):
    """A convolution, and a colour that the code adds."""

    translates = True

    def __init__(self, in_channels: int = 3, out_channels: int = 3, size: int = 4) -> None:
        super().__init__()
        self.image, self.colour = nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.Conv2d(size, out_channels, 1)
        self.register_mean_code(size)

    def sample_code(self, count: int, random: Generator) -> Tensor:
        return torch.randn(count, self.mean_code.shape[1], 1, 1, generator=random)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        return (self.image(x) + self.colour(self.mean_code if code is None else code)).tanh()


class Sampled(GAN):
    """Another code for every image of every batch."""

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b` and `fake_b`: N×3×H×W each."""
        random = Generator().manual_seed(int(torch.randint(2**31, ())))  # follows from the run's seed
        code = self.generator_ab.sample_code(len(batch["a"]), random).to(batch["a"])
        return {"real_a": batch["a"], "real_b": batch["b"], "fake_b": self.generator_ab(batch["a"], code)}
