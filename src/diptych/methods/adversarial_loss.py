"""The adversarial losses of one domain: what its discriminator is shown, and what both sides minimise."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from diptych.losses import Adversarial, LeCam, Penalty
from diptych.methods.history_pool import HistoryPool
from diptych.methods.player import Stateful, Terms
from diptych.networks import apply

Augment = Callable[[Tensor], Tensor]


class AdversarialLoss:
    """A domain's real images against the fakes of it, on N×C×H×W images in [-1, 1].

    `augmentation` varies what the discriminator sees; `penalty` and `lecam` are terms of its own (`penalty_b`,
    `lecam_b`); `pool_size` fakes of earlier batches are shown again. Each domain has its own copy of these.
    """

    def __init__(
        self,
        domain: str,
        adversarial: Adversarial,
        penalty: Penalty | None = None,
        lecam: LeCam | None = None,
        augmentation: Augment | None = None,
        pool_size: int = 0,
        seed: int = 0,
    ) -> None:
        self.domain, self.adversarial, self.pool = domain, adversarial, HistoryPool(pool_size, seed)
        self.penalty, self.lecam, self.augmentation = copy.deepcopy((penalty, lecam, augmentation))

    def extra_state(self) -> dict[str, Stateful]:
        """Return what a checkpoint must hold, by name."""
        parts = {"pool": self.pool, "penalty": self.penalty, "lecam": self.lecam, "augmentation": self.augmentation}
        return {f"{name}_{self.domain}": part for name, part in parts.items() if isinstance(part, Stateful)}

    def generator_loss(self, discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
        """Return how little the discriminator takes fakes for real, a scalar; relativistic losses look at reals too."""
        if not self.adversarial.relative:
            return self._average(discriminator, self.adversarial.generator, self._show(fake))
        return self._average(discriminator, self.adversarial.generator, self._show(fake), self._show(real))

    def discriminator_loss(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Terms:
        """Return the discriminator's terms on reals, and on fakes of now and before."""
        real, fake = self._show(real), self._show(self.pool.exchange(fake))
        logits: list[tuple[Tensor, Tensor]] = []

        def compare(on_real: Tensor, on_fake: Tensor) -> Tensor:
            logits.append((on_real, on_fake))
            return self.adversarial.discriminator(on_real, on_fake)

        terms = {f"adversarial_{self.domain}": self._average(discriminator, compare, real, fake)}
        if self.penalty is not None:
            terms[f"penalty_{self.domain}"] = self.penalty(discriminator, real, fake)
        if self.lecam is not None:
            terms[f"lecam_{self.domain}"] = self.lecam(*logits[0])
        if observe := getattr(self.augmentation, "observe", None):
            observe(logits[0][0])
        return terms

    def _show(self, images: Tensor) -> Tensor:
        return images if self.augmentation is None else self.augmentation(images)

    def _average(self, discriminator: nn.Module, loss: Callable[..., Tensor], *images: Tensor) -> Tensor:
        """Return the loss on the discriminator's logits; over several maps of logits, their weighted sum."""
        results = apply(discriminator, *images)
        if isinstance(results[0], Tensor):
            return loss(*results)
        shares: Sequence[float] = getattr(discriminator, "shares", None) or [1 / len(results[0])] * len(results[0])
        losses = [share * loss(*maps) for share, maps in zip(shares, zip(*results, strict=True), strict=True)]
        return torch.stack(losses).sum()
