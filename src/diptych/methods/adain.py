"""Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization.

Xun Huang, Serge Belongie. ICCV 2017. https://arxiv.org/abs/1703.06868
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import mse_loss

from diptych.losses import MomentStyle, TotalVariation
from diptych.losses.perceptual import count_positions
from diptych.methods.decoding import Decoding
from diptych.methods.player import Images, Terms
from diptych.networks import AdaINGenerator, Vgg
from diptych.networks.statistics import measure_statistics


class AdaIN(Decoding):
    """A decoder learns to draw features whose statistics were exchanged; any image lends its style afterwards.

    They are exchanged at `relu{deepest}_1` and compared in `layers`, by default the first of each block up to there.
    """

    generator_ab: AdaINGenerator

    def __init__(
        self,
        generator: object = None,
        *,
        encoder: Vgg,
        deepest: int = 4,
        layers: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__({"network": "AdaINGenerator", "deepest": deepest}, encoder, **settings)
        layers = layers or [f"relu{level}_1" for level in range(1, deepest + 1)]
        self.style = MomentStyle(dict.fromkeys(layers, 1.0), self.generator_ab.encoder)
        self.smoothness = TotalVariation()

    def render(self, batch: Images) -> Images:
        network, real, style = self.generator_ab, batch["a"], batch["b"]
        with torch.no_grad():
            own, looked = network.encode(real), network.look(style, tuple(self.style.layers))
            lent, positions = looked[network.last], count_positions(style)
            code = measure_statistics(lent)
            wanted = network.exchange(own, code)
            if self.training:
                network.follow(code, first=not self.iteration)
            described = {f"style_{name}": self.style.describe(looked[name], positions) for name in self.style.layers}
        images = {"real_a": real, "real_b": style, "wanted": wanted, "fake_b": network.draw(wanted, real)} | described
        if self.weight("generator", "identity"):
            images |= {"same_a": network.draw(own, real), "same_b": network.draw(lent, style)}
        return images

    def generator_terms(self, images: Images) -> Terms:
        """Equations 12 and 13: the exchanged features, and the style's statistics in every layer.

        `identity`, which is no part of the paper: an image in its own style is that image (Park and Lee 2019, equation
        9, on pixels).
        """
        network, fake = self.generator_ab, images["fake_b"]
        found = network.look(fake, tuple(self.style.layers))
        described = {name: images[f"style_{name}"] for name in self.style.layers}
        terms = {
            "content": mse_loss(found[network.last], images["wanted"]),
            "style": self.style.compare(found, described, count_positions(fake)),
            "total_variation": self.smoothness(fake),
        }
        if self.weight("generator", "identity"):
            pairs = [(images[f"same_{domain}"], images[f"real_{domain}"]) for domain in "ab"]
            terms["identity"] = torch.stack([mse_loss(same, real) for same, real in pairs]).mean()
        return terms
