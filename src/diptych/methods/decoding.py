"""What methods share whose encoder is given and whose decoder learns to draw from its features."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from diptych.methods.player import Player
from diptych.methods.unopposed import Unopposed, require_rgb
from diptych.networks import Vgg


class Decoding(Unopposed):
    """`words` describe a network that carries VGG and has a `decoder`, which alone is trained.

    A recipe's `generator` is not asked for.
    """

    generator_ab: Any

    def __init__(
        self, words: Mapping[str, Any], encoder: Vgg, *, scheme: str = "kaiming", gain: float = 1.0, **settings: Any
    ) -> None:
        require_rgb(settings.get("channels"))
        words = {**words, "encoder": encoder.kind, "preprocessing": encoder.preprocessing}
        super().__init__(words, scheme=scheme, gain=gain, **settings)
        self.generator_ab.encoder.take(encoder)
        self.generator_ab.train()  # VGG behaves alike, but Lightning warns of parts that do not train

    def drawn(self) -> Sequence[nn.Module]:
        return (self.generator_ab.decoder,)

    def trains_translators(self, player: Player) -> bool:
        return True
