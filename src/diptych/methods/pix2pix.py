"""Image-to-Image Translation with Conditional Adversarial Networks.

Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros. CVPR 2017. https://arxiv.org/abs/1611.07004
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import l1_loss

from diptych.methods.gan import GANMethod
from diptych.methods.player import Images, Player, Terms


class Pix2Pix(GANMethod):
    """With pairs (`data.paired=true`): the translation should be the truth, and look real beside its input."""

    needs_pairs = True

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.generator_ab = self.make_generator("ab")
        self.discriminator_b = self.make_discriminator("b", condition=self.channels["a"])
        self.initialise()

    def discriminators(self) -> dict[str, nn.Module]:
        return {}  # it judges no image by itself

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b` and, where weighted, `identity_b`: N×C×H×W each."""
        return self.translate(batch, "ab")

    def players(self) -> Sequence[Player]:
        return (
            Player(
                "discriminator",
                (self.discriminator_b,),
                lambda images: self.discriminator_loss("b", _beside_input(images)),
            ),
            Player("generator", (self.generator_ab,), self.generator_terms),
        )

    def discriminator_terms(self, images: Images) -> Terms:
        return self.discriminator_loss("b", _beside_input(images))

    def generator_terms(self, images: Images) -> Terms:
        """Equation 4: the conditional adversarial loss and L1 to the truth."""
        return {
            "adversarial_ab": self.generator_loss("b", _beside_input(images)),
            "reconstruction_b": l1_loss(images["fake_b"], images["real_b"]),
        }


def _beside_input(images: Images) -> Images:
    """Return the translation and the truth, each stacked upon the input: what the discriminator judges."""
    return {name: torch.cat((images["real_a"], images[name]), dim=1) for name in ("real_b", "fake_b")}
