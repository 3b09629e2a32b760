"""Networks whose inner layers can be looked at."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from diptych.errors import UserError
from diptych.networks.calls import widen
from diptych.networks.registry import Network


class FeatureNetwork(Network, registered=False):
    """A network that also gives the outputs of its numbered layers."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many layers are numbered; what decodes is not."""

    @property
    @abstractmethod
    def default_layers(self) -> list[int]:
        """The layers that are looked at where nobody says which, in ascending order."""

    @abstractmethod
    def features(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the outputs, N×C×h×w, of the layers in ascending order; nothing behind the last is computed."""


def count_feature_channels(network: Network, layers: Sequence[int]) -> list[int]:
    """Return the channels of the layers' features; `UserError` where there are no such layers."""
    network = _require_features(network)
    if not layers or any(not 0 <= layer < network.depth for layer in layers):
        numbers = ", ".join(map(str, layers))
        raise UserError(
            f"method.layers = [{numbers}] must be numbers from 0 to {network.depth - 1} of {type(network).__name__}"
        )
    in_channels = network.arguments["in_channels"]
    assert isinstance(in_channels, int)
    weight = next(network.parameters())
    with torch.no_grad():
        image = torch.zeros(1, in_channels, 16, 16, dtype=weight.dtype, device=weight.device)
        return [feature.shape[1] for feature in network.features(image, layers)]


def find_default_layers(network: Network) -> list[int]:
    """Return the layers to look at by default; `UserError` where the network has no features."""
    return _require_features(network).default_layers


def extract_features(network: Network, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Return the layers' features in float32; `UserError` where the network has none."""
    return [widen(feature) for feature in _require_features(network).features(x, layers)]


def _require_features(network: Network) -> FeatureNetwork:
    if not isinstance(network, FeatureNetwork):
        raise UserError(f"{type(network).__name__} has no features to look at; generator=resnet has")
    return network
