"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. https://arxiv.org/abs/1703.10593
"""

from collections.abc import Sequence
from typing import Any

from torch.nn.functional import l1_loss

from diptych.methods.gan import GANMethod
from diptych.methods.player import Images, Player, Terms
from diptych.networks import apply


class CycleGAN(GANMethod):
    """Two generators, two discriminators; what goes to the other domain must come back."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"pool_size": 50, **settings})
        self.require_equal_channels("identity_a", "identity_b")
        self.generator_ab, self.generator_ba = self.make_generator("ab"), self.make_generator("ba")
        self.discriminator_a, self.discriminator_b = self.make_discriminator("a"), self.make_discriminator("b")
        self.initialise()

    def render(self, batch: Images) -> Images:
        """Return `real`, `fake`, `cycled` and, where weighted, `identity` of both domains (`fake_b`): N×C×H×W each."""
        images: Images = {}
        for source, target in ("ab", "ba"):
            images |= self.translate(batch, source + target)
            if not self.weights.is_off("generator", f"cycle_{source}"):
                (images[f"cycled_{source}"],) = apply(self.translators[target + source], images[f"fake_{target}"])
        return images

    def players(self) -> Sequence[Player]:
        return (
            Player("generator", (self.generator_ab, self.generator_ba), self.generator_terms),
            Player("discriminator", (self.discriminator_a, self.discriminator_b), self.discriminator_terms),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Equations 1 and 2, and the identity loss of section 5.2, each direction by itself."""
        terms = {}
        for source, target in ("ab", "ba"):
            terms[f"adversarial_{source}{target}"] = self.generator_loss(target, images)
            if f"cycled_{source}" in images:
                terms[f"cycle_{source}"] = l1_loss(images[f"cycled_{source}"], images[f"real_{source}"])
            terms |= self.identity_terms(target, images)
        return terms

    def discriminator_terms(self, images: Images) -> Terms:
        """Each discriminator tells its domain's real images from fakes of now and before; B's first, as published."""
        return {**self.discriminator_loss("b", images), **self.discriminator_loss("a", images)}
