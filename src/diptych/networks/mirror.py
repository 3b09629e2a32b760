"""The encoders that networks carry, and decoders that undo what they do."""

from typing import Literal

from torch import nn

from diptych.networks.efficientnet_lite import EfficientNetLite
from diptych.networks.layered_encoder import LayeredEncoder, Outline
from diptych.networks.layers import ReflectionPad
from diptych.networks.vgg import Preprocessing, Vgg
from diptych.networks.winograd import Conv3x3

Carried = Literal["vgg16", "vgg19", "small", "efficientnet_lite0"]


def make_carried(kind: Carried, preprocessing: Preprocessing, deepest: int) -> LayeredEncoder:
    """Return an encoder up to its `deepest` level, with weights that are yet to come."""
    if kind == "efficientnet_lite0":
        return EfficientNetLite(kind, "random", rescale=False, last=EfficientNetLite.levels[deepest - 1])
    return Vgg(kind, "random", rescale=False, preprocessing=preprocessing, last=Vgg.levels[deepest - 1])


def mirror(outline: Outline, out_channels: int) -> nn.Sequential:
    """Return an encoder's layers backwards: padded by reflection, doublings for halvings, linear at the end."""
    layers: list[nn.Module] = []
    for step in reversed(outline):
        if step is None:
            layers.append(nn.Upsample(scale_factor=2))
        else:
            inner, outer = step
            layers += [ReflectionPad(1), Conv3x3(outer, out_channels if inner == 3 else inner), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
