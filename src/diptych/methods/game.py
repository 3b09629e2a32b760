"""What adversarial methods share: generators by direction, discriminators by domain, and their duels."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from diptych.errors import UserError
from diptych.losses import Adversarial, LeCam, Penalty
from diptych.methods.duel import Duel, Rules
from diptych.methods.method import Method
from diptych.methods.player import Images, Stateful, Terms
from diptych.networks import Network, apply, build_for, initialise

RGB = {"a": 3, "b": 3}


class Game(Method):
    """Generators against discriminators; a subclass makes those it needs, as `generator_ab` and `discriminator_b`.

    `generator` and `discriminator` describe networks in words; `adversarial` to `pool_size` are the rules of every
    duel; `scheme` and `gain` say how weights begin; `base` goes to `Method`.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        discriminator: Mapping[str, Any],
        adversarial: Adversarial,
        *,
        penalty: Penalty | None = None,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        lecam: LeCam | None = None,
        pool_size: int = 0,
        scheme: str = "normal",
        gain: float = 0.02,
        channels: Mapping[str, int] = RGB,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.channels = dict(channels)
        self._generator, self._discriminator = dict(generator), dict(discriminator)
        self._scheme, self._gain = scheme, gain
        self._rules = Rules(adversarial, penalty, augmentation, lecam, pool_size)
        self.duels: dict[str, Duel] = {}

    def make_generator(self, direction: str) -> Network:
        """Build the generator of a direction for the channels of its domains."""
        source, target = direction[0], direction[1]
        return build_for(self._generator, in_channels=self.channels[source], out_channels=self.channels[target])

    def make_discriminator(self, domain: str, condition: int = 0) -> Network:
        """Build a domain's discriminator and open its duel; it may see `condition` more channels beside the image."""
        self.duels[domain] = Duel(domain, self._rules, seed="ab".index(domain))
        return build_for(self._discriminator, in_channels=self.channels[domain] + condition)

    def initialise(self) -> None:
        """Draw the weights of every network; called once all are there."""
        for network in self.children():
            initialise(network, self._scheme, self._gain)

    def require_equal_channels(self, *terms: str) -> None:
        """Raise where a generator's term compares images of A with images of B and these have unlike channels."""
        a, b = self.channels["a"], self.channels["b"]
        wanted = [term for term in terms if self.weight("generator", term)]
        if a != b and wanted:
            raise UserError(
                f"method.weights.generator.{' and '.join(terms)} must be 0: A has {a} channels and B has {b}, "
                "and an identity needs as many"
            )

    @property
    def translators(self) -> dict[str, Network]:
        return {d: getattr(self, f"generator_{d}") for d in ("ab", "ba") if hasattr(self, f"generator_{d}")}

    def discriminators(self) -> dict[str, nn.Module]:
        return {domain: getattr(self, f"discriminator_{domain}") for domain in sorted(self.duels)}

    def remembered(self) -> dict[str, Stateful]:
        return {name: part for duel in self.duels.values() for name, part in duel.remembered().items()}

    def render_translation(self, batch: Images, direction: str) -> Images:
        """Return a direction's translation, and the identity image where its term is weighted, beside the batch."""
        source, target = direction[0], direction[1]
        wanted = bool(self.weight("generator", f"identity_{target}"))
        inputs = (batch[source], batch[target]) if wanted else (batch[source],)
        fake, *identity = apply(self.translators[direction], *inputs)
        images = {f"real_{source}": batch[source], f"real_{target}": batch[target], f"fake_{target}": fake}
        return images | ({f"identity_{target}": identity[0]} if wanted else {})

    def persuade(self, domain: str, images: Images) -> Tensor:
        """Return the adversarial loss of the generator of a domain's fakes."""
        fake, real = images[f"fake_{domain}"], images[f"real_{domain}"]
        return self.duels[domain].persuade(getattr(self, f"discriminator_{domain}"), fake, real)

    def judge(self, domain: str, images: Images) -> Terms:
        """Return the terms of a domain's discriminator."""
        real, fake = images[f"real_{domain}"], images[f"fake_{domain}"]
        return self.duels[domain].judge(getattr(self, f"discriminator_{domain}"), real, fake)
