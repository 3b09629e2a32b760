"""Fusion of autoencoders: features that learn to tell an image, painted anew in the style of another.

Content encoder, style encoder, mixer and decoder are the parts of A Unified Framework for Generalizable Style Transfer:
Style and Content Separation. Yexun Zhang, Ya Zhang, Wenbin Cai. 2018. https://arxiv.org/abs/1806.05173
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from diptych.arguments import Share
from diptych.losses import Content, Perceptual, StyleReference, StyleTransferLoss, TotalVariation
from diptych.methods.generator_only import GeneratorOnlyMethod, require_rgb
from diptych.methods.player import Images, Player, Terms
from diptych.methods.pretrained import keep_pretrained
from diptych.methods.rendering import Recall
from diptych.networks import Encoder, FusionGenerator, initialise
from diptych.networks.fusion_generator import FusionDecoder, FusionKind
from diptych.networks.initialisation import Gain, Init
from diptych.networks.registry import Width
from diptych.networks.statistics import measure_statistics


class Fusion(GeneratorOnlyMethod):
    """Two autoencoders, of A's images and of B's, and a decoder that paints the one's features in the other's code.

    Unlike in the paper the encoders learn by reconstruction alone, and all three learn at the same time: there is no
    phase in which only the autoencoders do. `width`, `fusion` and `share` are the network's; `content` and `style` are
    made with the encoder that is given.
    """

    generator_ab: FusionGenerator

    def __init__(
        self,
        generator: object = None,
        *,
        encoder: Encoder,
        content: Callable[..., Content],
        style: Callable[..., Perceptual],
        total_variation: TotalVariation,
        width: Width = 32,
        fusion: FusionKind = "adain",
        share: Share = 0.5,
        init: Init = "kaiming",
        init_gain: Gain = 1.0,
        **settings: Any,
    ) -> None:
        require_rgb(settings.get("channels"))
        config = {"network": "FusionGenerator", "width": width, "fusion": fusion, "share": share}
        super().__init__(config | keep_pretrained(generator), init=init, init_gain=init_gain, **settings)
        self.decoder_a, self.decoder_b = (FusionDecoder(self.channels[domain], width) for domain in "ab")
        for part in (self.decoder_a, self.decoder_b):
            initialise(part, init, init_gain)
        self.loss = StyleTransferLoss(content(encoder=encoder), style(encoder=encoder), total_variation)

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b`, `reconstructed_a` and `reconstructed_b`: N×C×H×W each.

        `style_code`, N×8·width×1×1, are the statistics of B's features.
        """
        network, real_a, real_b = self.generator_ab, batch["a"], batch["b"]
        content, style = network.content_encoder(real_a), network.style_encoder(real_b)
        code = measure_statistics(style.detach())  # the encoders are not the decoder's to change
        drawn = {
            "reconstructed_a": self.decoder_a(content, real_a),
            "reconstructed_b": self.decoder_b(style, real_b),
            "fake_b": network.decoder(network.fuse(content.detach(), code), real_a),
        }
        given = {"real_a": real_a, "real_b": real_b, "style_code": code}
        return given | {name: image.to(real_a) for name, image in drawn.items()}

    def update_statistics(self, recall: Recall) -> None:
        """Let the generator's mean code follow the styles it is trained on."""
        self.generator_ab.update_mean_code(recall("style_code"), first=self.iteration == 0)

    def players(self) -> Sequence[Player]:
        """The decoder moves first, then both encoders, each with a decoder of its own."""
        network = self.generator_ab
        return (
            Player("decoder", (network.mix, network.decoder), self.generator_terms),
            Player("content_autoencoder", (network.content_encoder, self.decoder_a), partial(_compare, "a")),
            Player("style_autoencoder", (network.style_encoder, self.decoder_b), partial(_compare, "b")),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Content of A's image, style of B's, total variation: as Johnson et al. 2016 have it, a style for each."""
        targets = self.loss.describe(images["real_a"], [StyleReference(images["real_b"])])
        return self.loss(images["fake_b"], targets)


def _compare(domain: str, images: Images) -> Terms:
    """Return both distances of a domain's images to their reconstructions; a weight of 0 turns one off."""
    difference = images[f"reconstructed_{domain}"] - images[f"real_{domain}"]
    return {f"reconstruction_{domain}": difference.abs().mean(), f"squared_{domain}": difference.square().mean()}
