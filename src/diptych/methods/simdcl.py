"""SimDCL: DCLGAN that also asks for real and translated images of a domain to be of one kind.

Junlin Han, Mehrdad Shoeiby, Lars Petersson, Mohammad Ali Armin. CVPR Workshops 2021, section 3.6.
https://arxiv.org/abs/2104.07689
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from diptych.methods.dclgan import DCLGAN
from diptych.methods.player import Images, Terms
from diptych.networks import SimilarityHead


class SimDCL(DCLGAN):
    """DCLGAN with a similarity term, against translations that all look alike."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        count = len(self.contrast.layers)
        self.mapper_real_a, self.mapper_fake_a = SimilarityHead(count), SimilarityHead(count)
        self.mapper_real_b, self.mapper_fake_b = SimilarityHead(count), SimilarityHead(count)
        self.initialise()

    def generator_networks(self) -> Sequence[tuple[nn.Module, Mapping[str, Any]]]:
        mappers = (self.mapper_real_a, self.mapper_fake_a, self.mapper_real_b, self.mapper_fake_b)
        return [*super().generator_networks(), *((mapper, self.projector_optimizer) for mapper in mappers)]

    def generator_terms(self, images: Images) -> Terms:
        terms = super().generator_terms(images)
        for domain in "ab":
            # The paper's equation 6 adds absolute differences up; the published code takes their mean, as here.
            real, fake = (self._map(kind, domain, images) for kind in ("real", "fake"))
            terms[f"similarity_{domain}"] = l1_loss(fake, real)
        return terms

    def _map(self, kind: str, domain: str, images: Images) -> Tensor:
        patches = self.contrast.describe(self.sides()[domain], images[f"{kind}_{domain}"])
        vector: Tensor = self.get_submodule(f"mapper_{kind}_{domain}")(patches)
        return vector
