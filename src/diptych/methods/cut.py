"""Contrastive Learning for Unpaired Image-to-Image Translation.

Taesung Park, Alexei A. Efros, Richard Zhang, Jun-Yan Zhu. ECCV 2020. https://arxiv.org/abs/2007.15651
"""

import random
from collections.abc import Sequence
from typing import Any

import torch

from diptych.losses import Contrastive
from diptych.methods.gan import GANMethod
from diptych.methods.patch_contrast import PatchContrast, Side
from diptych.methods.player import Images, Player, Terms
from diptych.networks import apply, find_default_layers
from diptych.networks.patch_projector import ProjectorSettings


class CUT(GANMethod):
    """One generator, one discriminator, no way back: a patch should be known by what was there before.

    FastCUT is this with `contrastive_a` weighted 10, `contrastive_b` 0 and `flip_equivariance`. `contrastive` may weigh
    negatives as MoNCE or hDCE do, `relation` add SRC, and `projector.selection` select queries as QS-Attn does.
    """

    def __init__(
        self,
        *args: Any,
        layers: Sequence[int] | None = None,
        projector: ProjectorSettings | None = None,
        contrastive: Contrastive | None = None,
        relation: Contrastive | None = None,
        flip_equivariance: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.require_equal_channels("contrastive_b", "identity_b")
        self.flip_equivariance = flip_equivariance
        self.generator_ab = self.make_generator("ab")
        self.discriminator_b = self.make_discriminator("b")
        self.contrast = PatchContrast(layers or find_default_layers(self.generator_ab), contrastive, relation)
        weighted = [self.weights.get("generator", f"{term}_b") for term in ("contrastive", "relation", "identity")]
        self._has_identity = any(weighted)
        if relation:
            terms = ("relation_a", "relation_b") if self._has_identity else ("relation_a",)
            self.weights.add_part("method.relation", "generator", terms)
        self.projector = self.contrast.make_projector(self.generator_ab, projector or {})
        self.initialise()

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b` and, where weighted, `identity_b`: N×C×H×W each.

        `flipped`, N booleans: whether the generator's were made from mirrored images.
        """
        a, b = batch["a"], batch["b"]
        flipped = self.flip_equivariance and random.random() < 0.5
        inputs = [image.flip(-1) if flipped else image for image in ((a, b) if self._has_identity else (a,))]
        fake_b, *identity_b = apply(self.generator_ab, *inputs)
        images = {"real_a": a, "real_b": b, "fake_b": fake_b, "flipped": torch.full((len(a),), flipped)}
        return images | ({"identity_b": identity_b[0]} if identity_b else {})

    def players(self) -> Sequence[Player]:
        return (
            Player("discriminator", (self.discriminator_b,), lambda images: self.discriminator_loss("b", images)),
            Player("generator", (self.generator_ab, self.projector), self.generator_terms),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Equation 5: the adversarial loss, PatchNCE(G, H, X), and PatchNCE(G, H, Y) of the identity."""
        side, flipped = Side(self.generator_ab, self.projector), bool(images["flipped"].any())
        terms = {"adversarial_ab": self.generator_loss("b", images)}
        terms |= self.contrast.compare("a", side, side, images["real_a"], images["fake_b"], flipped)
        if "identity_b" in images:
            terms |= self.contrast.compare("b", side, side, images["real_b"], images["identity_b"], flipped)
            real = images["real_b"].flip(-1) if flipped else images["real_b"]
            terms["identity_b"] = (images["identity_b"] - real).abs().mean()
        return terms
