"""Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization.

Xun Huang, Serge Belongie. ICCV 2017. https://arxiv.org/abs/1703.06868
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import mse_loss

from diptych.losses import MomentStyle, TotalVariation
from diptych.losses.perceptual import count_positions
from diptych.methods.game import RGB
from diptych.methods.method import Method
from diptych.methods.player import Images, Player, Terms
from diptych.methods.unopposed import require_rgb
from diptych.networks import AdaINGenerator, Network, Vgg, initialise
from diptych.networks.adain_generator import LAST

_MEMORY = 0.01  # how fast the usual style follows the styles that are seen


class AdaIN(Method):
    """A decoder learns to draw features whose statistics were exchanged; any image lends its style afterwards."""

    def __init__(
        self,
        generator: Mapping[str, Any] | None = None,
        *,
        encoder: Vgg,
        layers: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        discriminator: Mapping[str, Any] | None = None,
        scheme: str = "kaiming",
        gain: float = 1.0,
        channels: Mapping[str, int] = RGB,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        require_rgb(channels)
        self.generator_ab = AdaINGenerator(encoder=encoder.kind, preprocessing=encoder.preprocessing)
        initialise(self.generator_ab.decoder, scheme, gain)
        held = self.generator_ab.encoder.state_dict().keys()
        self.generator_ab.encoder.load_state_dict({k: v for k, v in encoder.state_dict().items() if k in held})
        self.generator_ab.train()  # VGG behaves alike, but Lightning warns of parts that do not train
        self.style = MomentStyle(dict.fromkeys(layers, 1.0), self.generator_ab.encoder)
        self.smoothness = TotalVariation()

    @property
    def translators(self) -> dict[str, Network]:
        return {"ab": self.generator_ab}

    def trains_translators(self, player: Player) -> bool:
        return True

    def render(self, batch: Images) -> Images:
        network, real, style = self.generator_ab, batch["a"], batch["b"]
        with torch.no_grad():
            code = network.describe_style(style)
            wanted = network.exchange(network.encode(real), code)
            if self.training:
                network.usual.lerp_(code.mean(0, keepdim=True), _MEMORY if self.iteration else 1.0)
        height, width = real.shape[-2:]
        return {
            "real_a": real,
            "real_b": style,
            "wanted": wanted,
            "fake_b": network.decoder(wanted)[..., :height, :width],
        }

    def players(self) -> Sequence[Player]:
        return (Player("generator", (self.generator_ab.decoder,), self.generator_terms),)

    def generator_terms(self, images: Images) -> Terms:
        """Equations 12 and 13: the exchanged features, and the style's statistics in every layer."""
        network, fake, positions = self.generator_ab, images["fake_b"], count_positions(images["real_b"])
        layers = tuple(self.style.layers)
        found = network.look(fake, layers)
        with torch.no_grad():
            lent = network.encoder(images["real_b"], layers)
        described = {name: self.style.describe(features, positions) for name, features in lent.items()}
        return {
            "content": mse_loss(found[LAST], images["wanted"]),
            "style": self.style.compare(found, described, count_positions(fake)),
            "total_variation": self.smoothness(fake),
        }
