"""Translation by reconstruction alone, the plainest baseline: an encoder–decoder and a distance, no adversary."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diptych.methods.game import RGB
from diptych.methods.method import Method
from diptych.methods.player import Images, Player, Terms
from diptych.networks import Network, apply, build_for, initialise


class EncoderDecoder(Method):
    """With pairs (`data.paired=true`): the translation should be the truth, by L1 and squared distance."""

    needs_pairs = True

    def __init__(
        self,
        generator: Mapping[str, Any],
        *,
        discriminator: Mapping[str, Any] | None = None,
        scheme: str = "normal",
        gain: float = 0.02,
        channels: Mapping[str, int] = RGB,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.generator_ab = build_for(generator, in_channels=channels["a"], out_channels=channels["b"])
        initialise(self.generator_ab, scheme, gain)

    @property
    def translators(self) -> dict[str, Network]:
        return {"ab": self.generator_ab}

    def render(self, batch: Images) -> Images:
        (fake_b,) = apply(self.generator_ab, batch["a"])
        return {"real_a": batch["a"], "real_b": batch["b"], "fake_b": fake_b}

    def players(self) -> Sequence[Player]:
        return (Player("generator", (self.generator_ab,), self.generator_terms),)

    def generator_terms(self, images: Images) -> Terms:
        """Both distances; a weight of 0 turns one off."""
        difference = images["fake_b"] - images["real_b"]
        return {"reconstruction_b": difference.abs().mean(), "squared_b": torch.square(difference).mean()}
