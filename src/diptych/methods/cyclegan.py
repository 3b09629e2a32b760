"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. https://arxiv.org/abs/1703.10593
"""

from collections.abc import Sequence
from typing import Any

from torch.nn.functional import l1_loss

from diptych.methods.game import Game
from diptych.methods.player import Images, Player, Terms
from diptych.networks import apply


class CycleGAN(Game):
    """Two generators, two discriminators; what goes to the other domain must come back."""

    def __init__(self, *words: Any, **settings: Any) -> None:
        super().__init__(*words, **{"pool_size": 50, **settings})
        self.require_equal_channels("identity_a", "identity_b")
        self.generator_ab, self.generator_ba = self.make_generator("ab"), self.make_generator("ba")
        self.discriminator_a, self.discriminator_b = self.make_discriminator("a"), self.make_discriminator("b")
        self.initialise()

    def render(self, batch: Images) -> Images:
        return self.render_direction(batch, "ab") | self.render_direction(batch, "ba")

    def render_direction(self, batch: Images, direction: str) -> Images:
        """There and, unless the way back has no weight, back again."""
        source, target = direction[0], direction[1]
        images = self.render_translation(batch, direction)
        if self.weights["generator"].get(f"cycle_{source}") == 0:
            return images
        (cycled,) = apply(self.translators[target + source], images[f"fake_{target}"])
        return images | {f"cycled_{source}": cycled}

    def players(self) -> Sequence[Player]:
        return (
            Player("generator", (self.generator_ab, self.generator_ba), self.generator_terms),
            Player("discriminator", (self.discriminator_a, self.discriminator_b), self.discriminator_terms),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Equations 1 and 2, and the identity loss of section 5.2, each direction by itself."""
        terms = {}
        for source, target in ("ab", "ba"):
            if f"fake_{target}" not in images:  # the other direction is rendered by itself
                continue
            terms[f"adversarial_{source}{target}"] = self.persuade(target, images)
            if f"cycled_{source}" in images:
                terms[f"cycle_{source}"] = l1_loss(images[f"cycled_{source}"], images[f"real_{source}"])
            if f"identity_{target}" in images:
                terms[f"identity_{target}"] = l1_loss(images[f"identity_{target}"], images[f"real_{target}"])
        return terms

    def discriminator_terms(self, images: Images) -> Terms:
        """Each discriminator tells its domain's real images from fakes of now and before; B's first, as published."""
        return {**self.judge("b", images), **self.judge("a", images)}
