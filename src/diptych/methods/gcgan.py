"""Geometry-Consistent Generative Adversarial Networks for One-Sided Unsupervised Domain Mapping.

Huan Fu, Mingming Gong, Chaohui Wang, Kayhan Batmanghelich, Kun Zhang, Dacheng Tao. CVPR 2019.
https://arxiv.org/abs/1809.05852
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from diptych.errors import UserError
from diptych.methods.gan import GANMethod
from diptych.methods.player import Images, Player, Terms
from diptych.networks import apply

Turn = Callable[[Tensor], Tensor]

GEOMETRIES: dict[str, tuple[Turn, Turn]] = {
    "rotation": (lambda image: torch.rot90(image, -1, (-2, -1)), lambda image: torch.rot90(image, 1, (-2, -1))),
    "flip": (lambda image: image.flip(-2), lambda image: image.flip(-2)),
}
"""A geometric change and its inverse: a quarter turn clockwise, or upside down."""


class GcGAN(GANMethod):
    """One generator: translating a turned image should give the turned translation.

    Both translations are judged, the turned one by a discriminator of its own, as published.
    """

    def __init__(self, *args: Any, geometry: Literal["rotation", "flip"] = "rotation", **settings: Any) -> None:
        super().__init__(*args, **{"pool_size": 50, **settings})
        if geometry not in GEOMETRIES:
            raise UserError(f"method.geometry = {geometry} must be one of {', '.join(GEOMETRIES)}")
        self.require_equal_channels("identity_b")
        self.turn, self.turn_back = GEOMETRIES[geometry]
        self.generator_ab = self.make_generator("ab")
        self.discriminator_b = self.make_discriminator("b")
        self.discriminator_turned = self.make_discriminator("b", name="turned")
        self.initialise()

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b` and, where weighted, `identity_b`: N×C×H×W each.

        `real_turned` is B's image turned, `fake_turned` the translation of A's turned image.
        """
        turned = {"a": self.turn(batch["a"]), "b": self.turn(batch["b"])}
        (fake_turned,) = apply(self.generator_ab, turned["a"])
        return self.translate(batch, "ab") | {"real_turned": turned["b"], "fake_turned": fake_turned}

    def players(self) -> Sequence[Player]:
        return (
            Player("generator", (self.generator_ab,), self.generator_terms),
            Player("discriminator", (self.discriminator_b, self.discriminator_turned), self.discriminator_terms),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Equations 5 and 7; each translation is the other's constant, as in the published code."""
        fake, turned = images["fake_b"], images["fake_turned"]
        there = l1_loss(fake, self.turn_back(turned).detach())
        back = l1_loss(turned, self.turn(fake).detach())
        terms = {
            "adversarial_ab": self.generator_loss("b", images),
            "adversarial_turned": self.generator_loss("turned", images),
            "geometry": there + back,
        }
        return terms | self.identity_terms("b", images)

    def discriminator_terms(self, images: Images) -> Terms:
        return {**self.discriminator_loss("b", images), **self.discriminator_loss("turned", images)}
