"""Dual Contrastive Learning for Unsupervised Image-to-Image Translation.

Junlin Han, Mehrdad Shoeiby, Lars Petersson, Mohammad Ali Armin. CVPR Workshops 2021. https://arxiv.org/abs/2104.07689
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from diptych.losses import Contrastive
from diptych.methods.gan import GANMethod
from diptych.methods.patch_contrast import PatchContrast, Side
from diptych.methods.player import Images, OptimizerSettings, Player, Terms
from diptych.networks import find_default_layers
from diptych.networks.patch_projector import ProjectorSettings


class DCLGAN(GANMethod):
    """CUT in both directions: a translation is looked at by the encoder of the domain it should belong to."""

    def __init__(
        self,
        *args: Any,
        layers: Sequence[int] | None = None,
        projector: ProjectorSettings | None = None,
        projector_optimizer: OptimizerSettings | None = None,
        contrastive: Contrastive | None = None,
        relation: Contrastive | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.require_equal_channels("identity_a", "identity_b")
        self.generator_ab, self.generator_ba = self.make_generator("ab"), self.make_generator("ba")
        self.discriminator_a, self.discriminator_b = self.make_discriminator("a"), self.make_discriminator("b")
        self.contrast = PatchContrast(layers or find_default_layers(self.generator_ab)[1:], contrastive, relation)
        self.projector_a = self.contrast.make_projector(self.generator_ab, projector or {})
        self.projector_b = self.contrast.make_projector(self.generator_ba, projector or {})
        self.projector_optimizer = dict(projector_optimizer or {})
        if relation:
            self.weights.add_part("method.relation", "generator", ["relation_a", "relation_b"])
        self.initialise()

    def render(self, batch: Images) -> Images:
        """Return `real`, `fake` and, where weighted, `identity` of both domains (`fake_b`): N×C×H×W each."""
        return self.translate(batch, "ab") | self.translate(batch, "ba")

    def players(self) -> Sequence[Player]:
        networks, settings = zip(*self.generator_networks(), strict=True)
        return (
            Player("discriminator", (self.discriminator_b, self.discriminator_a), self.discriminator_terms),
            Player("generator", networks, self.generator_terms, settings),
        )

    def generator_networks(self) -> Sequence[tuple[nn.Module, Mapping[str, Any]]]:
        """What moves when generators do, each with its settings for the optimizer."""
        projectors = [(projector, self.projector_optimizer) for projector in (self.projector_a, self.projector_b)]
        return [(self.generator_ab, {}), (self.generator_ba, {}), *projectors]

    def sides(self) -> dict[str, Side]:
        """What looks at the images of each domain."""
        return {"a": Side(self.generator_ab, self.projector_a), "b": Side(self.generator_ba, self.projector_b)}

    def discriminator_terms(self, images: Images) -> Terms:
        return {**self.discriminator_loss("b", images), **self.discriminator_loss("a", images)}

    def generator_terms(self, images: Images) -> Terms:
        """Equations 3 to 5: adversarial, dual contrastive and identity terms, each direction by itself."""
        sides = self.sides()
        terms: Terms = {}
        for source, target in ("ab", "ba"):
            real, fake = images[f"real_{source}"], images[f"fake_{target}"]
            terms[f"adversarial_{source}{target}"] = self.generator_loss(target, images)
            terms |= self.contrast.compare(source, sides[source], sides[target], real, fake)
            terms |= self.identity_terms(target, images)
        return terms
