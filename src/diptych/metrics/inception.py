"""Convolutional networks that images are compared by: two kinds of Inception-v3, and VGG-16.

Rethinking the Inception Architecture for Computer Vision. Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. 2016.
https://arxiv.org/abs/1512.00567
"""

import io
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diptych.errors import UserError
from diptych.metrics.extractor import Extractor, FeatureMetric, resize_clean
from diptych.metrics.network import AtURL, OnHub, get_network, require

_SIDE = 299
_SMALLEST = 75  # below, Inception's layers have nothing left


class Inception(Extractor):
    """The network of TensorFlow's FID as torch-fidelity ports it; 2048 numbers after its pooling.

    `resize`: `tf` (bilinear and aliased, as FID was published and torch-fidelity does), `torch` (the same between the
    middles of pixels, as pytorch-fid does) or `clean` (Pillow's, smoothed).
    """

    name = "Inception-v3 (TensorFlow, 2015-12-05)"
    library = "torch-fidelity"

    def __init__(self, resize: str = "tf", weights: str | None = None) -> None:
        if resize not in ("tf", "torch", "clean"):
            raise UserError(f"resize={resize}: it is tf, torch or clean")
        module = require("torch_fidelity.feature_extractor_inceptionv3")
        super().__init__(AtURL(module.URL_INCEPTION_V3), weights)
        self.resize = f"{resize} {_SIDE}"  # type: ignore[misc]
        self.network = self.fill(
            lambda state: module.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=_save(state)
            )
        )
        self.trunk = nn.Sequential(*list(self.network.children())[:-1], nn.Flatten())  # without the classifier

    def extract(self, pixels: Tensor) -> Tensor:
        if self.resize.startswith("tf"):
            return self.network(pixels)[0]
        if self.resize.startswith("torch"):
            resized = F.interpolate(pixels.float(), size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
            return self.trunk(resized / 127.5 - 1)  # pytorch-fid's range
        return self.trunk((resize_clean(pixels, _SIDE) - 128) / 128)  # what the network does after its own resizing


class InceptionMetric(FeatureMetric):
    """Of its features; `resize` is `tf` (torch-fidelity), `torch` (pytorch-fid) or `clean` (clean-fid)."""

    def __init__(self, resize: str = "tf", weights: str | None = None) -> None:
        super().__init__(weights)
        self.resize = resize

    @property
    def extractor(self) -> Inception:
        return get_network(Inception, self.resize, self.weights)


class ArtInception(Extractor):
    """Inception-v3 trained by Wright and Ommer to tell artists and styles; 2048 numbers, of images as they are."""

    name = "Inception-v3 (ArtFID)"
    library = "torchvision"
    resize = "none"

    def __init__(self, weights: str | None = None) -> None:
        super().__init__(OnHub("matthias-wright/art_inception", "art_inception.pth"), weights)
        self.network = self.fill(_make_art_inception)

    def extract(self, pixels: Tensor) -> Tensor:
        if min(pixels.shape[-2:]) < _SMALLEST:
            return torch.full((len(pixels), 1), math.nan)
        return self.network(pixels.float() / 255)  # in [0, 1], not standardised: as it was trained


class VGG16(Extractor):
    """VGG-16 trained on ImageNet, up to its second fully connected layer, by torch-fidelity; 4096 numbers."""

    name = "VGG-16 fc2 (ImageNet)"
    library = "torch-fidelity"
    resize = "tf 224"

    def __init__(self, weights: str | None = None) -> None:
        from torchvision.models import VGG16_Weights

        module = require("torch_fidelity.feature_extractor_vgg16")
        super().__init__(AtURL(VGG16_Weights.IMAGENET1K_V1.url), weights)
        self.network = self.fill(
            lambda state: module.FeatureExtractorVGG16(
                "vgg16", ["fc2_relu"], feature_extractor_weights_path=_save(state)
            )
        )

    def extract(self, pixels: Tensor) -> Tensor:
        return self.network(pixels)[0]


def _save(state: dict[str, Tensor]) -> io.BytesIO:
    """Return weights that were read safely as a file in memory, since torch-fidelity lets pickles execute code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def _make_art_inception(state: dict[str, Tensor]) -> nn.Module:
    """Return torchvision's network with the weights of ArtFID's, but for its two classifiers and their helpers."""
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
    network.fc = nn.Identity()
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    return network.eval().requires_grad_(False)
