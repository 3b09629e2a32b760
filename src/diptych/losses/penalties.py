"""Penalties on a discriminator: on its gradient with respect to its input image, and on how far apart its logits go."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diptych.arguments import Count, Decay
from diptych.errors import UserError

Discriminator = Callable[[Tensor], Any]
"""Maps images to logits, or to several maps of logits."""


class Penalty(ABC):
    """A discriminator's term that looks at its slope rather than at its verdict."""

    @abstractmethod
    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty, averaged over the batch."""


class GradientPenalty(Penalty):
    """WGAN-GP (Gulrajani et al. 2017, eq. 3): the slope between a real and a fake image should be one."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        norms = _gradient(discriminator, _mix(real, fake)).flatten(1).norm(dim=1)
        return (norms - 1).square().mean()


class R1(Penalty):
    """R1 (Mescheder et al. 2018, eq. 9): half the squared slope at real images."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        return _half_square(discriminator, real)


class R2(Penalty):
    """R2 (Mescheder et al. 2018, eq. 10): half the squared slope at fake images."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        return _half_square(discriminator, fake)


class R1AndR2(Penalty):
    """Both slopes, as R3GAN needs them (Huang et al. 2024, section 2.2)."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        return _half_square(discriminator, real) + _half_square(discriminator, fake)


class ZeroCentred(Penalty):
    """The squared slope between a real and a fake image should be zero, not one (Thanh-Tung et al. 2019; UVCGANv2)."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        return _gradient(discriminator, _mix(real, fake)).flatten(1).square().sum(dim=1).mean()


class Lazy(Penalty):
    """A penalty in every `every`-th batch only, that many times as strong (Karras et al. 2020, section 3.1).

    In between it is zero. What it counts goes into the checkpoint.
    """

    averages_images = False  # it counts batches

    def __init__(self, penalty: Penalty, every: Count = 16) -> None:
        if every < 1:
            raise UserError(f"Lazy.every = {every} must be at least 1")
        self.penalty, self.every = penalty, every
        self._calls = 0

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        due = self._calls % self.every == 0
        self._calls += 1
        return self.every * self.penalty(discriminator, real, fake) if due else real.new_zeros(())

    def state_dict(self) -> dict[str, Any]:
        """Return what is counted."""
        return {"calls": self._calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._calls = int(state["calls"])


class LeCam:
    """Regularising Generative Adversarial Networks under Limited Data (Tseng et al. 2021, eq. 3).

    Logits of real images should stay near the running mean of those of fakes, and the other way round.
    """

    averages_images = False  # its means move with every batch

    def __init__(self, decay: Decay = 0.99) -> None:
        if not 0.0 <= decay < 1.0:
            raise UserError(f"LeCam.decay = {decay} must lie between 0 and 1")
        self.decay = decay
        self._means: dict[str, Tensor] = {}

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the regulariser of two batches of logits, and take them into the means."""
        for name, logits in (("real", real), ("fake", fake)):
            mean = logits.detach().mean()
            self._means[name] = self._means.get(name, mean).to(mean).lerp(mean, 1 - self.decay)
        return (real - self._means["fake"]).square().mean() + (fake - self._means["real"]).square().mean()

    def state_dict(self) -> dict[str, Any]:
        """Return the means."""
        return dict(self._means)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved means; `ValueError` where these are no scalars."""
        if not all(isinstance(mean, Tensor) and mean.ndim == 0 for mean in state.values()):
            raise ValueError("running means that are no scalars")
        self._means = dict(state)


def _half_square(discriminator: Discriminator, images: Tensor) -> Tensor:
    return 0.5 * _gradient(discriminator, images).flatten(1).square().sum(dim=1).mean()


def _mix(real: Tensor, fake: Tensor) -> Tensor:
    """Return a random point between each real image and a fake one."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    return real.lerp(fake.detach(), share)


def _gradient(discriminator: Discriminator, images: Tensor) -> Tensor:
    """Return ∂ΣD/∂images, itself differentiable in the discriminator's weights."""
    images = images.detach().requires_grad_()
    logits = discriminator(images)
    total = logits.sum() if isinstance(logits, Tensor) else torch.stack([one.sum() for one in logits]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient
