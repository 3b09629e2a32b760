"""CycleGAN as the textbook has it: plain layers, one call per image, fp32, Adam over a list of parameters.

Numerically the published code's step (Zhu et al. 2017): the baseline that everything else is measured against.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss


class Block(nn.Module):
    """A residual block; named as published, so that weights can be exchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for last in (False, True):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
            layers += [] if last else [nn.ReLU(True)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Generator(nn.Module):
    """The ResNet generator; sides must be multiples of four."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7),
            nn.InstanceNorm2d(width),
            nn.ReLU(True),
        ]
        for inner in (width, 2 * width):
            layers += [nn.Conv2d(inner, 2 * inner, 3, 2, 1), nn.InstanceNorm2d(2 * inner), nn.ReLU(True)]
        layers += [Block(4 * width) for _ in range(blocks)]
        for inner in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(inner, inner // 2, 3, 2, 1, output_padding=1)
            layers += [up, nn.InstanceNorm2d(inner // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Discriminator(nn.Module):
    """The 70×70 patch discriminator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for inner, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(inner, 2 * inner, 4, stride, 1), nn.InstanceNorm2d(2 * inner), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Textbook:
    """Two generators, two discriminators, and the step."""

    def __init__(self, width: int, blocks: int, device: torch.device) -> None:
        self.generator_ab, self.generator_ba = (Generator(width, blocks).to(device) for _ in range(2))
        self.discriminator_a, self.discriminator_b = (Discriminator(width).to(device) for _ in range(2))
        self.optimizers = [
            torch.optim.Adam(
                itertools.chain(*(network.parameters() for network in pair)),
                lr=2e-4,
                betas=(0.5, 0.999),
                foreach=False,
                fused=False,
            )
            for pair in (
                (self.generator_ab, self.generator_ba),
                (self.discriminator_a, self.discriminator_b),
            )
        ]

    def step(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Train both sides on a pair of batches; return the losses, weighted as published."""
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        cycled_a, cycled_b = self.generator_ba(fake_b), self.generator_ab(fake_a)
        self._freeze(True)
        self.optimizers[0].zero_grad()
        losses = {
            "identity_b": l1_loss(self.generator_ab(b), b) * 5.0,
            "identity_a": l1_loss(self.generator_ba(a), a) * 5.0,
            "adversarial_ab": judge(self.discriminator_b(fake_b), 1.0),
            "adversarial_ba": judge(self.discriminator_a(fake_a), 1.0),
            "cycle_a": l1_loss(cycled_a, a) * 10.0,
            "cycle_b": l1_loss(cycled_b, b) * 10.0,
        }
        torch.stack(list(losses.values())).sum().backward()
        self.optimizers[0].step()
        self._freeze(False)
        self.optimizers[1].zero_grad()
        for name, discriminator, real, fake in (
            ("adversarial_b", self.discriminator_b, b, fake_b),
            ("adversarial_a", self.discriminator_a, a, fake_a),
        ):
            losses[name] = (judge(discriminator(real), 1.0) + judge(discriminator(fake.detach()), 0.0)) * 0.5
            losses[name].backward()
        self.optimizers[1].step()
        return losses

    def _freeze(self, frozen: bool) -> None:
        for parameter in (*self.discriminator_a.parameters(), *self.discriminator_b.parameters()):
            parameter.requires_grad_(not frozen)


def judge(verdict: Tensor, label: float) -> Tensor:
    """Return the least-squares loss."""
    return mse_loss(verdict, torch.full_like(verdict, label))
