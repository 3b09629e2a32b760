"""Perceptual Losses for Real-Time Style Transfer and Super-Resolution.

Justin Johnson, Alexandre Alahi, Li Fei-Fei. ECCV 2016. https://arxiv.org/abs/1603.08155
"""

from collections.abc import Callable
from typing import Any

from diptych.losses import Content, Perceptual, TotalVariation
from diptych.methods.objective import Look, Objective, Style
from diptych.methods.player import Images, Terms
from diptych.methods.unopposed import Unopposed, require_rgb
from diptych.networks import Vgg


class Johnson(Unopposed):
    """A network that paints at once what optimisation paints slowly: domain A in the style of domain B's images.

    Where B is one image, the network learns that style; where it is many, what they have in common. `content` and
    `style` are made with the encoder that is given.
    """

    def __init__(
        self,
        *words: Any,
        encoder: Vgg,
        content: Callable[..., Content],
        style: Callable[..., Perceptual],
        smoothness: TotalVariation,
        **settings: Any,
    ) -> None:
        super().__init__(*words, **settings)
        require_rgb(self.channels)
        self.look = Look(content(encoder=encoder), style(encoder=encoder), smoothness)

    def generator_terms(self, images: Images) -> Terms:
        """Equation 5: content, style and total variation of the rendered images."""
        return Objective(self.look, images["real_a"], [Style(images["real_b"])])(images["fake_b"])
