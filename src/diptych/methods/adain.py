"""Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization.

Xun Huang, Serge Belongie. ICCV 2017. https://arxiv.org/abs/1703.06868
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import mse_loss

from diptych.losses import MomentStyle, TotalVariation
from diptych.losses.perceptual import count_positions
from diptych.losses.precision import in_float32
from diptych.methods.decoder import DecoderMethod
from diptych.methods.player import Images, Terms
from diptych.methods.pretrained import keep_pretrained
from diptych.methods.rendering import Recall
from diptych.networks import AdaINGenerator, widen
from diptych.networks.layered_encoder import LayeredEncoder
from diptych.networks.statistics import exchange_statistics, measure_statistics
from diptych.networks.vgg import Level


class AdaIN(DecoderMethod):
    """A decoder learns to draw features whose statistics were exchanged; any image lends its style afterwards.

    They are exchanged at the encoder's `deepest` level, of VGG `relu{deepest}_1`, and compared in `layers`, by default
    in all levels up to there.
    """

    generator_ab: AdaINGenerator

    def __init__(
        self,
        generator: object = None,
        *,
        encoder: LayeredEncoder,
        deepest: Level = 4,
        layers: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        config = {"network": "AdaINGenerator", "deepest": deepest, **keep_pretrained(generator)}
        super().__init__(config, encoder, **settings)
        layers = layers or encoder.levels[:deepest]
        self.style = MomentStyle(dict.fromkeys(layers, 1.0), self.generator_ab.encoder)
        self.total_variation = TotalVariation()

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b` and, where an identity is weighted, `identity_a` and `identity_b`.

        N×3×H×W each. `content_target`, N×C×h×w, are the features that are drawn as `fake_b`; `style_code`, N×2C×1×1,
        are B's statistics in that layer, and `style_target_…` those in every compared one.
        """
        network, real, style = self.generator_ab, batch["a"], batch["b"]
        with torch.no_grad(), torch.autocast(real.device.type, enabled=False):  # they are what a loss compares with
            content_features = network.encode(real)
            features = network.extract_features(style, tuple(self.style.layers))
            code, positions = measure_statistics(features[network.last]), count_positions(style)
            target = exchange_statistics(content_features, code)
            images = {
                f"style_target_{name}": self.style.describe(features[name], positions) for name in self.style.layers
            }
        images |= {"real_a": real, "real_b": style, "content_target": target, "style_code": code}
        images["fake_b"] = widen(network.decode(target, real))
        if self.weights.get("generator", "identity"):
            images["identity_a"] = widen(network.decode(content_features, real))
            images["identity_b"] = widen(network.decode(features[network.last], style))
        return images

    def update_statistics(self, recall: Recall) -> None:
        """Let the generator's mean code follow the styles it is trained on."""
        self.generator_ab.update_mean_code(recall("style_code"), first=self.iteration == 0)

    @in_float32
    def generator_terms(self, images: Images) -> Terms:
        """Equations 12 and 13: the exchanged features, and the style's statistics in every layer.

        `identity`, which is no part of the paper: an image in its own style is that image (Park and Lee 2019, equation
        9, on pixels).
        """
        network, fake = self.generator_ab, images["fake_b"]
        features = network.extract_features(fake, tuple(self.style.layers))
        style_targets = {name: images[f"style_target_{name}"] for name in self.style.layers}
        terms = {
            "content": mse_loss(features[network.last], images["content_target"]),
            "style": self.style.compare(features, style_targets, count_positions(fake)),
            "total_variation": self.total_variation(fake),
        }
        if "identity_a" in images:
            pairs = [(images[f"identity_{domain}"], images[f"real_{domain}"]) for domain in "ab"]
            terms["identity"] = torch.stack([mse_loss(same, real) for same, real in pairs]).mean()
        return terms
