"""Adversarial losses: what a discriminator's logits say to the generator and to itself.

Each has `.generator(fake)` and `.discriminator(real, fake)`, on logits of any shape, averaged to a scalar.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor


class Adversarial(ABC):
    """A game between a generator and a discriminator."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Return the loss of a generator whose images got the logits `fake`."""

    @abstractmethod
    def on_real(self, real: Tensor) -> Tensor:
        """Return the discriminator's loss on logits of real images."""

    @abstractmethod
    def on_fake(self, fake: Tensor) -> Tensor:
        """Return the discriminator's loss on logits of fake images."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the mean of both halves; halving slows the discriminator down (Zhu et al. 2017, section 7.1)."""
        return 0.5 * (self.on_real(real) + self.on_fake(fake))


class LeastSquares(Adversarial):
    """LSGAN (Mao et al. 2017, eq. 9): squared distance to 1 for real, to 0 for fake."""

    def generator(self, fake: Tensor) -> Tensor:
        return self.on_real(fake)

    def on_real(self, real: Tensor) -> Tensor:
        return (real - 1).square().mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        return fake.square().mean()


class CrossEntropy(Adversarial):
    """`vanilla` in the CycleGAN code: binary cross entropy of the logits; -log σ(x) = softplus(-x)."""

    def generator(self, fake: Tensor) -> Tensor:
        return self.on_real(fake)

    def on_real(self, real: Tensor) -> Tensor:
        return F.softplus(-real).mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        return F.softplus(fake).mean()


class NonSaturating(CrossEntropy):
    """Goodfellow et al. 2014, section 3: the generator maximises log D(G(x)).

    This is the same function as `CrossEntropy`; both names are in use, and both are to be found here.
    """


class Hinge(Adversarial):
    """Hinge loss (Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and 17)."""

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def on_real(self, real: Tensor) -> Tensor:
        return F.relu(1 - real).mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        return F.relu(1 + fake).mean()


class Wasserstein(Adversarial):
    """The critic of Arjovsky et al. 2017; give it a `GradientPenalty`, without which it is unbounded."""

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def on_real(self, real: Tensor) -> Tensor:
        return -real.mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        return fake.mean()
