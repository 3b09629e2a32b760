"""Comparing a translation with its input patch by patch, on features of several layers at once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diptych.losses import Contrastive, PatchNCE
from diptych.methods.player import Terms
from diptych.networks import Network, PatchProjector, count_feature_channels, extract_features


class Side(NamedTuple):
    """What looks at the images of one domain."""

    network: Network
    projector: PatchProjector


class PatchContrast:
    """The mean over layers of a contrastive loss, and of a second one on the same patches if `relation` is given.

    `layers` are numbers of the generator's modules, as CUT counts them.
    """

    def __init__(
        self, layers: Sequence[int], contrastive: Contrastive | None = None, relation: Contrastive | None = None
    ) -> None:
        self.layers = tuple(sorted(set(layers)))
        self.losses = {"contrastive": contrastive or PatchNCE()} | ({"relation": relation} if relation else {})

    def make_projector(self, network: Network, settings: Mapping[str, Any]) -> PatchProjector:
        """Build the projector of a generator's features."""
        return PatchProjector(count_feature_channels(network, self.layers), **settings)

    def describe(self, side: Side, image: Tensor) -> list[Tensor]:
        """Return the vectors of patches drawn from an image, a layer's N×P×width after another's."""
        features = extract_features(side.network, image, self.layers)
        return side.projector(features, side.projector.choose(features))

    def compare(
        self, domain: str, keys: Side, queries: Side, image: Tensor, translation: Tensor, flipped: bool = False
    ) -> Terms:
        """Return `contrastive_…` (and `relation_…`) of a translation to its image of the domain, N×C×H×W each.

        `flipped`: the translation was made from the mirrored image. The image's own features are constants.
        """
        with torch.no_grad():
            features = extract_features(keys.network, image, self.layers)
            choices = keys.projector.choose(features)
            wanted = keys.projector(features, choices)
        features = extract_features(queries.network, translation, self.layers)
        if flipped:
            features = [feature.flip(-1) for feature in features]
        found = queries.projector(features, choices)
        return {
            f"{name}_{domain}": torch.stack([loss(q, k) for q, k in zip(found, wanted, strict=True)]).mean()
            for name, loss in self.losses.items()
        }
