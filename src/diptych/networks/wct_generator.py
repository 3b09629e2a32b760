"""The translator of WCT: features whitened, coloured by a style, and drawn, from coarse to fine.

Universal Style Transfer via Feature Transforms. Yijun Li, Chen Fang, Jimei Yang, Zhaowen Wang, Xin Lu, Ming-Hsuan Yang.
NeurIPS 2017. https://arxiv.org/abs/1705.08086
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from diptych.errors import UserError
from diptych.networks.layers import pad_to_multiple
from diptych.networks.mirror import Carried, make_carried, mirror
from diptych.networks.registry import Channels
from diptych.networks.statistics import fit_code, raise_power
from diptych.networks.style_network import StyleNetwork
from diptych.networks.vgg import Level, Preprocessing

_LEAST = 1e-5  # what every direction of features varies by at least


class WCTGenerator(StyleNetwork):
    """A frozen encoder and a decoder for each of `levels`, the `deepest` first, of VGG `relu{deepest}_1`.

    A code holds each level's mean and the root of its covariance. Like AdaIN's network it carries its encoder, which
    is drawn at random here.
    """

    translates = True

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        encoder: Carried = "vgg19",
        preprocessing: Preprocessing = "torchvision",
        deepest: Level = 4,
        levels: Level = 4,
    ) -> None:
        super().__init__()
        if levels > deepest:
            raise UserError(f"WCTGenerator.levels = {levels} must be at most deepest = {deepest}")
        self.encoder = make_carried(encoder, preprocessing, deepest)
        self.names = list(self.encoder.levels[deepest - levels : deepest][::-1])
        self.decoder = nn.ModuleDict()
        for name in self.names:
            self.decoder[name] = mirror(self.encoder.outline(name), out_channels)
        self.widths = [self.encoder.count_channels(name) for name in self.names]
        self.stride = self.encoder.count_pixels(self.names[0])
        self.smallest = 2 * self.stride  # for the decoders' reflection padding
        self.register_mean_code(sum(width + width**2 for width in self.widths))

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map N×3×H×W to N×3×H×W for any H and W; the code must not differ from place to place."""
        code = self.mean_code if code is None else code
        return self.blend(x, [code], [code.new_ones(1, 1, 1, 1)])

    def blend(self, x: Tensor, codes: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
        """Mix features of all codes by their shares at every level: a map of whole covariances would be too large."""
        height, width = x.shape[-2:]
        image = self.pad(x)
        pairs = [(self._split(code), share) for code, share in zip(codes, shares, strict=True)]
        for level, (name, decoder) in enumerate(self.decoder.items()):
            features = self.encoder(image, (name,))[name]
            white = whiten(features)
            mixed = [fit_code(share, features) * colour_features(white, *part[level]) for part, share in pairs]
            image = decoder(torch.stack(mixed).sum(0))
        return image[..., :height, :width]

    def pad(self, x: Tensor) -> Tensor:
        """Bring images to a size that the poolings divide."""
        return pad_to_multiple(x, self.stride, self.smallest)

    def encode_style(self, style: Tensor) -> Tensor:
        return self.summarise(self.encoder(self.pad(style), self.names))

    def summarise(self, found: Mapping[str, Tensor]) -> Tensor:
        """Return the code of a style's features at all levels, by their layers' names."""
        parts = []
        for name in self.names:
            mean, covariance = measure_covariance(found[name])
            parts += [mean.flatten(1), raise_power(covariance, 0.5).flatten(1)]
        return torch.cat(parts, 1)[..., None, None]

    def encode_content(self, x: Tensor) -> Tensor:
        return self.encode_style(x)

    def _split(self, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each level's N×C×1 mean and N×C×C root of the covariance."""
        if code.shape[-2:] != (1, 1):
            raise UserError("WCT's codes cannot differ from place to place; paint with several codes and their shares")
        sizes = [size for width in self.widths for size in (width, width**2)]
        means, roots = (code.flatten(1).split(sizes, 1)[first::2] for first in (0, 1))
        return [
            (mean[..., None], root.unflatten(1, (width, width)))
            for mean, root, width in zip(means, roots, self.widths, strict=True)
        ]


def whiten(features: Tensor) -> Tensor:
    """Equation 1: E D^-½ Eᵀ (f - m) of N×C×h×w features, whose covariance becomes the identity."""
    mean, covariance = measure_covariance(features)
    return (raise_power(covariance, -0.5) @ (features.flatten(2) - mean)).view(features.shape)


def colour_features(white: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Equation 2: whitened N×C×h×w features get a covariance, the square of N×C×C `root`, and an N×C×1 mean."""
    return (root @ white.flatten(2) + mean).view(white.shape)


def measure_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the N×C×1 means and N×C×C covariances over positions."""
    flat = features.flatten(2)
    mean = flat.mean(2, keepdim=True)
    apart = flat - mean
    covariance = apart @ apart.mT / max(1, flat.shape[2] - 1)
    return mean, covariance + _LEAST * torch.eye(flat.shape[1], dtype=flat.dtype, device=flat.device)
