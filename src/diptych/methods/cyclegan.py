"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. https://arxiv.org/abs/1703.10593
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from diptych.losses import Adversarial, Penalty
from diptych.methods.history_pool import HistoryPool
from diptych.methods.method import Images, MakeOptimizer, Method, Player, Stateful, Terms, Weights, apply
from diptych.methods.schedule import Schedule
from diptych.networks import Network, build, initialise


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
        penalty: Penalty | None = None,
        pool_size: int = 50,
        scheme: str = "normal",
        gain: float = 0.02,
    ) -> None:
        super().__init__(weights, optimizer, schedule)
        self.generator_ab, self.generator_ba = build(**generator), build(**generator)
        self.discriminator_a, self.discriminator_b = build(**discriminator), build(**discriminator)
        for network in self.children():
            initialise(network, scheme, gain)
        self.adversarial = adversarial
        self.penalty = penalty
        self.pool_a, self.pool_b = HistoryPool(pool_size, seed=0), HistoryPool(pool_size, seed=1)

    @property
    def translators(self) -> dict[str, Network]:
        return {"ab": self.generator_ab, "ba": self.generator_ba}

    def remembered(self) -> dict[str, Stateful]:
        return {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def render(self, batch: Images) -> Images:
        images = {"real_a": batch["a"], "real_b": batch["b"]}
        for here, there in ("ab", "ba"):
            inputs = [images[f"real_{here}"]]
            if self.weight("generator", f"identity_{there}"):
                inputs.append(images[f"real_{there}"])
            names = [f"fake_{there}", f"identity_{there}"]
            images |= zip(names, apply(getattr(self, f"generator_{here}{there}"), *inputs), strict=False)
        (images["cycled_a"],) = apply(self.generator_ba, images["fake_b"])
        (images["cycled_b"],) = apply(self.generator_ab, images["fake_a"])
        return images

    def players(self) -> Sequence[Player]:
        return (
            Player("generator", (self.generator_ab, self.generator_ba), self.generator_terms),
            Player("discriminator", (self.discriminator_a, self.discriminator_b), self.discriminator_terms),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Equations 1 and 2, and the identity loss of section 5.2, each direction by itself."""
        terms = {
            "adversarial_ab": self.adversarial.generator(*apply(self.discriminator_b, images["fake_b"])),
            "adversarial_ba": self.adversarial.generator(*apply(self.discriminator_a, images["fake_a"])),
        }
        for kind in ("cycle", "identity"):
            prefix = "cycled" if kind == "cycle" else kind
            for domain in "ab":
                if f"{prefix}_{domain}" in images:
                    terms[f"{kind}_{domain}"] = l1_loss(images[f"{prefix}_{domain}"], images[f"real_{domain}"])
        return terms

    def discriminator_terms(self, images: Images) -> Terms:
        """Each discriminator tells its domain's real images from fakes of now and before."""
        # Order as published: the discriminator of B, whose pool is asked first.
        return {
            **self._judge("b", self.discriminator_b, images["real_b"], self.pool_b.exchange(images["fake_b"])),
            **self._judge("a", self.discriminator_a, images["real_a"], self.pool_a.exchange(images["fake_a"])),
        }

    def _judge(self, domain: str, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Terms:
        terms = {f"adversarial_{domain}": self.adversarial.discriminator(*apply(discriminator, real, fake))}
        if self.penalty is not None:
            terms[f"penalty_{domain}"] = self.penalty(discriminator, real, fake)
        return terms
