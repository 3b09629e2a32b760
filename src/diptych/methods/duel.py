"""A discriminator's side of the game in one domain: what it is shown, and what both sides are told."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diptych.losses import Adversarial, LeCam, Penalty
from diptych.methods.history_pool import HistoryPool
from diptych.methods.player import Stateful, Terms
from diptych.networks import apply


@dataclass
class Rules:
    """What all duels of a game have in common.

    `augmentation` varies what discriminators see; `penalty` and `lecam` are terms of theirs (`penalty_b`, `lecam_b`);
    `pool_size` fakes of earlier batches are shown again.
    """

    adversarial: Adversarial
    penalty: Penalty | None = None
    augmentation: Callable[[Tensor], Tensor] | None = None
    lecam: LeCam | None = None
    pool_size: int = 0


class Duel:
    """A domain's real images against the fakes of it."""

    def __init__(self, domain: str, rules: Rules, seed: int) -> None:
        self.domain = domain
        self.adversarial = rules.adversarial
        self.pool = HistoryPool(rules.pool_size, seed)
        self.penalty, self.lecam, self.augmentation = copy.deepcopy((rules.penalty, rules.lecam, rules.augmentation))

    def remembered(self) -> dict[str, Stateful]:
        """Return what a checkpoint must hold, by name."""
        parts = {"pool": self.pool, "penalty": self.penalty, "lecam": self.lecam, "augmentation": self.augmentation}
        return {f"{name}_{self.domain}": part for name, part in parts.items() if isinstance(part, Stateful)}

    def persuade(self, discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
        """Return the generator's loss: how little the discriminator takes N×C×H×W fakes for real."""
        if not self.adversarial.relative:
            return self._average(discriminator, self.adversarial.generator, self._show(fake))
        return self._average(discriminator, self.adversarial.generator, self._show(fake), self._show(real))

    def judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Terms:
        """Return the discriminator's terms on reals, and on fakes of now and before."""
        real, fake = self._show(real), self._show(self.pool.exchange(fake))
        verdicts: list[tuple[Tensor, Tensor]] = []

        def tell_apart(on_real: Tensor, on_fake: Tensor) -> Tensor:
            verdicts.append((on_real, on_fake))
            return self.adversarial.discriminator(on_real, on_fake)

        terms = {f"adversarial_{self.domain}": self._average(discriminator, tell_apart, real, fake)}
        if self.penalty is not None:
            terms[f"penalty_{self.domain}"] = self.penalty(discriminator, real, fake)
        if self.lecam is not None:
            terms[f"lecam_{self.domain}"] = self.lecam(*verdicts[0])
        if observe := getattr(self.augmentation, "observe", None):
            observe(verdicts[0][0])
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
