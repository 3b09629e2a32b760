"""What methods share whose encoder is given and whose decoder learns to draw from its features."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from diptych.methods.game import RGB
from diptych.methods.method import Method
from diptych.methods.player import Images, Player, Terms
from diptych.methods.unopposed import require_rgb
from diptych.networks import AdaINGenerator, Network, Vgg, WCTGenerator, initialise


class Decoding(Method):
    """One player, the `decoder` of a network of the given kind that carries VGG; `words` are the network's own.

    A recipe's `generator` and `discriminator` are not asked for.
    """

    generator_ab: Any

    def __init__(
        self,
        kind: type[AdaINGenerator] | type[WCTGenerator],
        encoder: Vgg,
        words: Mapping[str, Any] | None = None,
        *,
        discriminator: Mapping[str, Any] | None = None,
        scheme: str = "kaiming",
        gain: float = 1.0,
        channels: Mapping[str, int] = RGB,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        require_rgb(channels)
        self.generator_ab = kind(encoder=encoder.kind, preprocessing=encoder.preprocessing, **(words or {}))
        initialise(self.generator_ab.decoder, scheme, gain)
        self.generator_ab.encoder.take(encoder)
        self.generator_ab.train()  # VGG behaves alike, but Lightning warns of parts that do not train

    @property
    def translators(self) -> dict[str, Network]:
        return {"ab": self.generator_ab}

    def trains_translators(self, player: Player) -> bool:
        return True

    def players(self) -> Sequence[Player]:
        return (Player("generator", (self.generator_ab.decoder,), self.generator_terms),)

    @abstractmethod
    def generator_terms(self, images: Images) -> Terms:
        """Return what the decoder minimises."""
