"""A translator that takes steps, each told what time it is, with noise on the way."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from diptych.methods import GAN, Images
from diptych.networks import IterativeNetwork
from diptych.networks.iterative_network import Steps


class SteppedNetwork(IterativeNetwork):
    """Moves an image towards what a convolution of image and time expects at the end."""

    translates = takes_seed = True

    def __init__(self, in_channels: int = 3, out_channels: int = 3, steps: Steps = 3) -> None:
        super().__init__()
        self.steps, self.conv = steps, nn.Conv2d(in_channels + 1, out_channels, 3, padding=1)

    def forward(self, x: Tensor, time: float = 0.0) -> Tensor:
        return self.conv(torch.cat([x, torch.full_like(x[:, :1], time)], dim=1)).tanh()

    def iterate(self, x: Tensor, steps: int, random: Generator, code: Tensor | None = None) -> Iterator[Tensor]:
        for step in range(steps):
            noise = torch.randn(x.shape, generator=random).to(x) * 0.1 * (step < steps - 1)
            x = x + (self(x, step / steps) - x) / (steps - step) + noise
            yield x


class Stepped(GAN):
    """All steps in every batch."""

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b` and `fake_b`: N×3×H×W each."""
        *_, fake = self.generator_ab.iterate(batch["a"], self.generator_ab.steps, Generator().manual_seed(0))
        return {"real_a": batch["a"], "real_b": batch["b"], "fake_b": fake}
