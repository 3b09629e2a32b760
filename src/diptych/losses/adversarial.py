"""Adversarial losses: what a discriminator's logits say to the generator and to itself.

Each has `.generator(fake)` and `.discriminator(real, fake)`, on logits of any shape, averaged to a scalar, and is
written as its own paper has it, so that a penalty's published weight means beside it what it means there. Only games of
labels halve the discriminator's side: see `Smoothed`.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor

from diptych.arguments import Decay
from diptych.errors import UserError


class Adversarial(ABC):
    """A game between a generator and a discriminator."""

    relative = False
    """Whether the generator's loss takes the logits of real images too."""

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
        """Return the discriminator's loss on both, added up."""
        return self.on_real(real) + self.on_fake(fake)


class Smoothed(Adversarial):
    """A game of labels, whose discriminator's loss is halved wherever it is published for translation.

    Least squares have the halves in LSGAN's equation 9, and CycleGAN (Zhu et al. 2017, section 7.1) keeps them for the
    discriminator alone; cross entropy has them in pix2pix (Isola et al. 2017, section 3.3) and in CUT's code.
    `smoothing` lowers the discriminator's label of real images (Salimans et al. 2016, section 3.4).
    """

    def __init__(self, smoothing: Decay = 0.0) -> None:
        if not 0.0 <= smoothing < 1.0:
            raise UserError(f"{type(self).__name__}.smoothing = {smoothing} must lie between 0 and 1")
        self.smoothing = smoothing

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return half the loss on both: it "slows down the rate at which D learns, relative to G" (pix2pix, 3.3)."""
        return 0.5 * super().discriminator(real, fake)


class LeastSquares(Smoothed):
    """LSGAN (Mao et al. 2017, eq. 9): squared distance to 1 for real, to 0 for fake."""

    def generator(self, fake: Tensor) -> Tensor:
        return (fake - 1).square().mean()

    def on_real(self, real: Tensor) -> Tensor:
        return (real - (1 - self.smoothing)).square().mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        return fake.square().mean()


class CrossEntropy(Smoothed):
    """`vanilla` in the CycleGAN code: binary cross entropy of the logits; -log σ(x) = softplus(-x)."""

    def generator(self, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()

    def on_real(self, real: Tensor) -> Tensor:
        return (F.softplus(-real) + self.smoothing * real).mean()

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
    """The critic of Arjovsky et al. 2017; give it a `GradientPenalty`, without which it is unbounded.

    With that weighted 10 its loss is equation 3 of WGAN-GP (Gulrajani et al. 2017).
    """

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def on_real(self, real: Tensor) -> Tensor:
        return -real.mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        return fake.mean()


class Relativistic(Adversarial):
    """RpGAN (Jolicoeur-Martineau 2019) as R3GAN takes it (Huang et al. 2024, eq. 2): only differences count.

    Each real image's logits are compared with those of a fake one; to be used with `R1AndR2`.
    """

    relative = True

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ValueError("a relativistic generator is judged against real images")
        return F.softplus(real - fake).mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real).mean()

    def on_real(self, real: Tensor) -> Tensor:
        """Return the discriminator's loss where fakes got the logit 0."""
        return F.softplus(-real).mean()

    def on_fake(self, fake: Tensor) -> Tensor:
        """Return the discriminator's loss where reals got the logit 0."""
        return F.softplus(fake).mean()
