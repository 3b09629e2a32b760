"""Perceptual Losses for Real-Time Style Transfer and Super-Resolution.

Justin Johnson, Alexandre Alahi, Li Fei-Fei. ECCV 2016. https://arxiv.org/abs/1603.08155
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from diptych.data import UnpairedData
from diptych.losses import Content, Perceptual, StyleReference, StyleTransferLoss, TotalVariation
from diptych.methods.fixed_styles import FixedStyles
from diptych.methods.gan import GANMethod
from diptych.methods.generator_only import require_rgb
from diptych.methods.player import Images, Player, Terms
from diptych.networks import Encoder


class Johnson(GANMethod):
    """A network that paints at once what optimisation paints slowly: domain A in the style of domain B's images.

    Where B is one image, the network learns that style, which is looked at once and as it is; where it is many, what
    they have in common, prepared as other training images are. `content` and `style` are made with the encoder that is
    given. Where `adversarial_ab` is weighted, which is no part of the paper, a discriminator says besides what does not
    look like B.
    """

    def __init__(
        self,
        *args: Any,
        encoder: Encoder,
        content: Callable[..., Content],
        style: Callable[..., Perceptual],
        total_variation: TotalVariation,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        require_rgb(self.channels)
        self.loss = StyleTransferLoss(content(encoder=encoder), style(encoder=encoder), total_variation)
        self.generator_ab = self.make_generator("ab")
        if self.weights.get("generator", "adversarial_ab"):
            self.discriminator_b = self.make_discriminator("b")
        self.initialise()
        self.styles: FixedStyles | None = None

    def on_fit_start(self) -> None:
        """Look at the styles that are fixed."""
        super().on_fit_start()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, UnpairedData) and self.has_fixed_styles(paths := data.train_paths["b"]):
            self.styles = FixedStyles(self.loss, paths, data.forms["b"], next(self.generator_ab.parameters()))

    def has_fixed_styles(self, paths: Sequence[Path]) -> bool:
        """Return whether each of B's images is a style by itself, described at its own size."""
        return len(paths) == 1

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b` and, where weighted, `identity_b`: N×3×H×W each."""
        return self.translate(batch, "ab")

    def players(self) -> Sequence[Player]:
        generator = Player("generator", (self.generator_ab,), self.generator_terms)
        if not self.adversarial_losses:
            return (generator,)
        terms = partial(self.discriminator_loss, "b")
        return (Player("discriminator", (self.discriminator_b,), terms), generator)

    def generator_terms(self, images: Images) -> Terms:
        """Equation 5: content, style and total variation of the rendered images."""
        described = self.styles.pick(images.get("style")) if self.styles else None
        targets = self.loss.describe(images["real_a"], [StyleReference(images["real_b"], described=described)])
        terms = self.loss(images["fake_b"], targets)
        return terms | ({"adversarial_ab": self.generator_loss("b", images)} if self.adversarial_losses else {})
