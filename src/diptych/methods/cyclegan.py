"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. https://arxiv.org/abs/1703.10593
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from diptych.errors import UserError
from diptych.losses import Adversarial, Penalty
from diptych.methods.history_pool import HistoryPool
from diptych.methods.method import Method
from diptych.methods.player import Extra, Images, MakeOptimizer, Player, Stateful, Terms, Weights
from diptych.methods.schedule import Schedule
from diptych.networks import Network, apply, build_for, initialise, sees_images_alone

RGB = {"a": 3, "b": 3}


class CycleGAN(Method):
    """Two generators, two discriminators; what goes to the other domain must come back."""

    def __init__(
        self,
        generator: Mapping[str, Any],
        discriminator: Mapping[str, Any],
        adversarial: Adversarial,
        weights: Weights,
        optimizer: Mapping[str, MakeOptimizer],
        schedule: Schedule,
        extras: Mapping[str, Extra] | None = None,
        penalty: Penalty | None = None,
        pool_size: int = 50,
        scheme: str = "normal",
        gain: float = 0.02,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        channels: Mapping[str, int] = RGB,
    ) -> None:
        super().__init__(weights, optimizer, schedule, extras)
        a, b = channels["a"], channels["b"]
        if a != b and (self.weight("generator", "identity_a") or self.weight("generator", "identity_b")):
            raise UserError(
                f"method.weights.generator.identity_a and identity_b must be 0: A has {a} channels and B has {b}, "
                "and an identity needs as many"
            )
        self.generator_ab = build_for(generator, in_channels=a, out_channels=b)
        self.generator_ba = build_for(generator, in_channels=b, out_channels=a)
        self.discriminator_a = build_for(discriminator, in_channels=a)
        self.discriminator_b = build_for(discriminator, in_channels=b)
        for network in self.children():
            initialise(network, scheme, gain)
        self.adversarial = adversarial
        self.penalty = penalty
        self.augmentation = augmentation or _leave
        self.pool_a, self.pool_b = HistoryPool(pool_size, seed=0), HistoryPool(pool_size, seed=1)

    @property
    def translators(self) -> dict[str, Network]:
        return {"ab": self.generator_ab, "ba": self.generator_ba}

    def discriminators(self) -> dict[str, nn.Module]:
        return {"a": self.discriminator_a, "b": self.discriminator_b}

    def remembered(self) -> dict[str, Stateful]:
        return {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def render(self, batch: Images) -> Images:
        return self.render_direction(batch, "ab") | self.render_direction(batch, "ba")

    def render_direction(self, batch: Images, direction: str) -> Images:
        """There and back again; an identity image shares the first call where the network sees images alone."""
        source, target = direction[0], direction[1]
        there, back = self.translators[direction], self.translators[target + source]
        real, other = batch[source], batch[target]
        wanted = bool(self.weight("generator", f"identity_{target}"))
        together = wanted and sees_images_alone(there)
        fake, *identity = apply(there, real, *([other] if together else []))
        (cycled,) = apply(back, fake)
        if wanted and not together:
            identity = list(apply(there, other))
        images = {f"real_{source}": real, f"real_{target}": other, f"fake_{target}": fake, f"cycled_{source}": cycled}
        return images | ({f"identity_{target}": identity[0]} if wanted else {})

    def players(self) -> Sequence[Player]:
        return (
            Player("generator", (self.generator_ab, self.generator_ba), self.generator_terms),
            Player("discriminator", (self.discriminator_a, self.discriminator_b), self.discriminator_terms),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Equations 1 and 2, and the identity loss of section 5.2, each direction by itself."""
        terms = {}
        for source, target, discriminator in (("a", "b", self.discriminator_b), ("b", "a", self.discriminator_a)):
            if f"fake_{target}" not in images:  # the other direction is rendered by itself
                continue
            terms[f"adversarial_{source}{target}"] = self._persuade(discriminator, images[f"fake_{target}"])
            terms[f"cycle_{source}"] = l1_loss(images[f"cycled_{source}"], images[f"real_{source}"])
            if f"identity_{target}" in images:
                terms[f"identity_{target}"] = l1_loss(images[f"identity_{target}"], images[f"real_{target}"])
        return terms

    def _persuade(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        return self.adversarial.generator(*apply(discriminator, self.augmentation(fake)))

    def discriminator_terms(self, images: Images) -> Terms:
        """Each discriminator tells its domain's real images from fakes of now and before."""
        # Order as published: the discriminator of B, whose pool is asked first.
        return {
            **self._judge("b", self.discriminator_b, images["real_b"], self.pool_b.exchange(images["fake_b"])),
            **self._judge("a", self.discriminator_a, images["real_a"], self.pool_a.exchange(images["fake_a"])),
        }

    def _judge(self, domain: str, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Terms:
        real, fake = self.augmentation(real), self.augmentation(fake)
        terms = {f"adversarial_{domain}": self.adversarial.discriminator(*apply(discriminator, real, fake))}
        if self.penalty is not None:
            terms[f"penalty_{domain}"] = self.penalty(discriminator, real, fake)
        return terms


def _leave(images: Tensor) -> Tensor:
    """The augmentation that changes nothing."""
    return images
