"""Penalties on a discriminator's gradient with respect to its input image."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

Discriminator = Callable[[Tensor], Tensor]


class Penalty(ABC):
    """A discriminator's term that looks at its slope rather than at its verdict."""

    @abstractmethod
    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty, averaged over the batch."""


class GradientPenalty(Penalty):
    """WGAN-GP (Gulrajani et al. 2017, eq. 3): the slope between a real and a fake image should be one."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
        norms = _gradient(discriminator, real.lerp(fake.detach(), share)).flatten(1).norm(dim=1)
        return (norms - 1).square().mean()


class R1(Penalty):
    """R1 (Mescheder et al. 2018, eq. 9): half the squared slope at real images."""

    def __call__(self, discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * _gradient(discriminator, real).flatten(1).square().sum(dim=1).mean()


def _gradient(discriminator: Discriminator, images: Tensor) -> Tensor:
    """Return ∂ΣD/∂images, itself differentiable in the discriminator's weights."""
    images = images.detach().requires_grad_()
    logits = discriminator(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient
