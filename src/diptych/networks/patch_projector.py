"""From a generator's features to patches that can be compared (Park et al. 2020, section 3)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from diptych.arguments import Count
from diptych.networks.registry import Width

_ATTENDED_FROM = 3  # the layer from which queries are selected by attention (Hu et al. 2022, section 3.2)


class Choice(NamedTuple):
    """Where patches are: positions in the flattened image, or a matrix N×P×positions that mixes them."""

    positions: Tensor | None
    attention: Tensor | None


class ProjectorSettings(TypedDict, total=False):
    """What a recipe may say of a projector."""

    width: Width
    patches: Count
    selection: Literal["random", "attention"]


class PatchProjector(nn.Module):
    """A two-layer perceptron per layer of features; state dicts are named as in the original code (`mlp_0` …).

    `patches` places are drawn per layer at random, or with `selection="attention"` those of the deeper layers whose
    attention to the rest has least entropy, and features are gathered along that attention (QS-Attn, global).
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int = 256,
        patches: int = 256,
        selection: Literal["random", "attention"] = "random",
    ) -> None:
        super().__init__()
        self.patches, self.selection = patches, selection
        for index, count in enumerate(channels):
            layers = nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width))
            self.add_module(f"mlp_{index}", layers)

    def choose(self, features: Sequence[Tensor]) -> list[Choice]:
        """Choose places on N×C×H×W features of the input; the translation is looked at in the same."""
        return [self._choose_one(index, _flatten(feature)) for index, feature in enumerate(features)]

    def forward(self, features: Sequence[Tensor], choices: Sequence[Choice]) -> list[Tensor]:
        """Return per layer the patches' vectors of unit length, N×P×width."""
        vectors = []
        for index, (feature, choice) in enumerate(zip(features, choices, strict=True)):
            places = _flatten(feature)
            if choice.attention is not None:
                gathered = choice.attention @ places
            else:
                gathered = places if choice.positions is None else places[:, choice.positions]
            vectors.append(normalize(self.get_submodule(f"mlp_{index}")(gathered), dim=2, eps=1e-7))
        return vectors

    def _choose_one(self, layer: int, places: Tensor) -> Choice:
        if self.selection == "attention" and layer >= _ATTENDED_FROM:
            return Choice(None, select_by_attention(places, self.patches))
        count = places.shape[1]
        return Choice(torch.randperm(count, device=places.device)[: self.patches], None)


def select_by_attention(places: Tensor, count: int) -> Tensor:
    """Return the `count` rows of least entropy of the attention of N×positions×C places to each other."""
    with torch.no_grad():
        logits = (places @ places.transpose(1, 2)).log_softmax(dim=2)
        attention = logits.exp()
        entropy = -(attention * logits).sum(dim=2)
        chosen = entropy.argsort(dim=1)[:, :count]
        return attention.gather(1, chosen[..., None].expand(-1, -1, places.shape[1]))


def _flatten(feature: Tensor) -> Tensor:
    """Return N×C×H×W as N×HW×C."""
    return feature.flatten(2).transpose(1, 2)
