"""Decoders that undo what an encoder does."""

from collections.abc import Iterable

from torch import nn

from diptych.networks.layers import ReflectionPad
from diptych.networks.winograd import Conv3x3


def mirror(encoder: Iterable[nn.Module], out_channels: int) -> nn.Sequential:
    """Return an encoder's layers backwards: padded by reflection, doublings for poolings, linear at the end."""
    layers: list[nn.Module] = []
    for layer in reversed(list(encoder)):
        if isinstance(layer, Conv3x3):
            outer = out_channels if layer.in_channels == 3 else layer.in_channels
            layers += [ReflectionPad(1), Conv3x3(layer.out_channels, outer), nn.ReLU()]
        elif not isinstance(layer, nn.ReLU):
            layers.append(nn.Upsample(scale_factor=2))
    return nn.Sequential(*layers[:-1])
