"""Perceptual Losses for Real-Time Style Transfer and Super-Resolution.

Justin Johnson, Alexandre Alahi, Li Fei-Fei. ECCV 2016. https://arxiv.org/abs/1603.08155
"""

from collections.abc import Callable, Sequence
from typing import Any

from diptych.losses import Content, Perceptual, TotalVariation
from diptych.methods.game import Game
from diptych.methods.objective import Look, Objective, Style
from diptych.methods.player import Images, Player, Terms
from diptych.methods.unopposed import require_rgb
from diptych.networks import Encoder


class Johnson(Game):
    """A network that paints at once what optimisation paints slowly: domain A in the style of domain B's images.

    Where B is one image, the network learns that style; where it is many, what they have in common. `content` and
    `style` are made with the encoder that is given. Where `adversarial_ab` is weighted, which is no part of the paper,
    a discriminator says besides what does not look like B.
    """

    def __init__(
        self,
        *words: Any,
        encoder: Encoder,
        content: Callable[..., Content],
        style: Callable[..., Perceptual],
        smoothness: TotalVariation,
        **settings: Any,
    ) -> None:
        super().__init__(*words, **settings)
        require_rgb(self.channels)
        self.look = Look(content(encoder=encoder), style(encoder=encoder), smoothness)
        self.generator_ab = self.make_generator("ab")
        if self.weight("generator", "adversarial_ab"):
            self.discriminator_b = self.make_discriminator("b")
        self.initialise()

    def render(self, batch: Images) -> Images:
        return self.render_translation(batch, "ab")

    def players(self) -> Sequence[Player]:
        painter = Player("generator", (self.generator_ab,), self.generator_terms)
        if not self.duels:
            return (painter,)
        return (Player("discriminator", (self.discriminator_b,), lambda images: self.judge("b", images)), painter)

    def generator_terms(self, images: Images) -> Terms:
        """Equation 5: content, style and total variation of the rendered images."""
        terms = Objective(self.look, images["real_a"], [Style(images["real_b"])])(images["fake_b"])
        return terms | ({"adversarial_ab": self.persuade("b", images)} if self.duels else {})
