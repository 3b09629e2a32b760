"""What methods share in which one generator learns from losses alone, without a discriminator."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from diptych.errors import UserError
from diptych.methods.gan import RGB
from diptych.methods.method import Method
from diptych.methods.player import Images, Player, Terms
from diptych.methods.pretrained import Pretrained, keep_pretrained
from diptych.networks import Network, apply, build_for, initialise
from diptych.networks.initialisation import Gain, Init


def require_rgb(channels: Mapping[str, int] | None) -> None:
    """Raise `UserError` unless VGG can look at the images of both domains; where nothing is said they are RGB."""
    if channels and dict(channels) != RGB:
        raise UserError(f"VGG looks at RGB: A has {channels['a']} channels and B has {channels['b']}")


class GeneratorOnlyMethod(Method):
    """One direction and, unless a subclass has more, one player; a recipe's `discriminator` is not asked for."""

    def __init__(
        self,
        generator: Mapping[str, Any],
        *,
        discriminator: Mapping[str, Any] | None = None,
        init: Init = "normal",
        init_gain: Gain = 0.02,
        channels: Mapping[str, int] = RGB,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.channels = dict(channels)
        self.generator_ab = build_for(generator, in_channels=channels["a"], out_channels=channels["b"])
        for part in self.trained_parts():
            initialise(part, init, init_gain)
        Pretrained("generator", generator).load(self.translators)
        Pretrained("discriminator", keep_pretrained(discriminator)).load({})

    def trained_parts(self) -> Sequence[nn.Module]:
        """Return what of the generator is trained, from weights drawn at random."""
        return (self.generator_ab,)

    @property
    def translators(self) -> dict[str, Network]:
        return {"ab": self.generator_ab}

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b` and `fake_b`: N×C×H×W each."""
        (fake_b,) = apply(self.generator_ab, batch["a"])
        return {"real_a": batch["a"], "real_b": batch["b"], "fake_b": fake_b}

    def players(self) -> Sequence[Player]:
        return (Player("generator", self.trained_parts(), self.generator_terms),)

    @abstractmethod
    def generator_terms(self, images: Images) -> Terms:
        """Return what the generator minimises."""
