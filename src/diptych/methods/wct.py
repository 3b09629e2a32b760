"""Universal Style Transfer via Feature Transforms.

Yijun Li, Chen Fang, Jimei Yang, Zhaowen Wang, Xin Lu, Ming-Hsuan Yang. NeurIPS 2017. https://arxiv.org/abs/1705.08086
"""

from typing import Any

import torch
from torch.nn.functional import mse_loss

from diptych.losses.precision import in_float32
from diptych.methods.decoder import DecoderMethod
from diptych.methods.player import Images, Terms
from diptych.methods.pretrained import keep_pretrained
from diptych.methods.rendering import Recall
from diptych.networks import WCTGenerator, widen
from diptych.networks.layered_encoder import LayeredEncoder
from diptych.networks.vgg import Level


class WCT(DecoderMethod):
    """Decoders learn to draw images of both domains from their features; styles are met after training only."""

    generator_ab: WCTGenerator

    def __init__(
        self,
        generator: object = None,
        *,
        encoder: LayeredEncoder,
        deepest: Level = 4,
        levels: Level = 4,
        **settings: Any,
    ) -> None:
        config = {"network": "WCTGenerator", "deepest": deepest, "levels": levels, **keep_pretrained(generator)}
        super().__init__(config, encoder, **settings)

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`: N×3×H×W each, and of either domain what its images are drawn from and as.

        `padded_a` is the image that is encoded, `features_a_relu4_1` (and so on for every level) N×C×h×w features of
        it, `drawn_a_relu4_1` the image that they are drawn as.
        """
        network, images = self.generator_ab, {"real_a": batch["a"], "real_b": batch["b"]}
        for domain in "ab":
            with torch.no_grad(), torch.autocast(batch["a"].device.type, enabled=False):  # a loss compares with them
                images[f"padded_{domain}"] = network.pad(batch[domain])
                features = network.encoder(images[f"padded_{domain}"], network.names)
            for name, decoder in network.decoder.items():
                images[f"drawn_{domain}_{name}"] = widen(decoder(features[name]))
                images[f"features_{domain}_{name}"] = features[name]
        return images

    def update_statistics(self, recall: Recall) -> None:
        """Let the generator's mean code follow the styles it is trained on."""
        network = self.generator_ab
        code = network.summarise({name: recall(f"features_b_{name}") for name in network.names})
        network.update_mean_code(code, first=self.iteration == 0)

    @in_float32
    def generator_terms(self, images: Images) -> Terms:
        """Section 3.1: drawings are like the images, and so are their features; the mean over domains and decoders."""
        pixels, features = [], []
        for domain in "ab":
            for name in self.generator_ab.names:
                drawn = images[f"drawn_{domain}_{name}"]
                pixels.append(mse_loss(drawn, images[f"padded_{domain}"]))
                again = self.generator_ab.encoder(drawn, (name,))[name]
                features.append(mse_loss(again, images[f"features_{domain}_{name}"]))
        return {"pixel": torch.stack(pixels).mean(), "feature": torch.stack(features).mean()}
