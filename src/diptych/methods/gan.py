"""Generative Adversarial Networks, and what all adversarial methods share.

Ian Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, Bing Xu, David Warde-Farley, Sherjil Ozair, Aaron Courville, Yoshua
Bengio. NeurIPS 2014. https://arxiv.org/abs/1406.2661
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from diptych.arguments import Range
from diptych.errors import UserError
from diptych.losses import Adversarial, LeCam, Penalty
from diptych.methods.adversarial_loss import AdversarialLoss
from diptych.methods.method import Method
from diptych.methods.player import Images, Player, Stateful, Terms
from diptych.methods.pretrained import Pretrained
from diptych.networks import Network, apply, build_for, initialise
from diptych.networks.initialisation import Gain, Init

PoolSize = Annotated[int, Range(0, 100_000)]
RGB = {"a": 3, "b": 3}


class GANMethod(Method):
    """Generators against discriminators; a subclass makes those it needs, as `generator_ab` and `discriminator_b`.

    `generator` and `discriminator` are networks' names and arguments, and what these start from; `adversarial` to
    `pool_size` are the same for every domain; `init` and `init_gain` say how weights begin; `base` goes to `Method`.
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
        pool_size: PoolSize = 0,
        init: Init = "normal",
        init_gain: Gain = 0.02,
        channels: Mapping[str, int] = RGB,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.channels = dict(channels)
        self._generator, self._discriminator = dict(generator), dict(discriminator)
        self._pretrained = [Pretrained("generator", generator), Pretrained("discriminator", discriminator)]
        self._init, self._init_gain = init, init_gain
        self._adversarial, self._augmentation, self._pool_size = adversarial, augmentation, pool_size
        self._parts: dict[str, Any] = {"penalty": penalty, "lecam": lecam}
        self.adversarial_losses: dict[str, AdversarialLoss] = {}

    def make_generator(self, direction: str) -> Network:
        """Build the generator of a direction for the channels of its domains."""
        source, target = direction[0], direction[1]
        return build_for(self._generator, in_channels=self.channels[source], out_channels=self.channels[target])

    def make_discriminator(self, domain: str, condition: int = 0, name: str | None = None) -> Network:
        """Build a domain's discriminator and its losses, by another name where it judges other images of the domain.

        It may see `condition` more channels beside the image.
        """
        name = name or domain
        seed = {"a": 0, "b": 1}.get(name, 2)  # of the pool of earlier fakes
        parts = self._choose_parts(name) | {"augmentation": self._augmentation}
        loss = AdversarialLoss(name, self._adversarial, pool_size=self._pool_size, seed=seed, **parts)
        self.adversarial_losses[name] = loss
        return build_for(self._discriminator, in_channels=self.channels[domain] + condition)

    def _choose_parts(self, name: str) -> dict[str, Any]:
        """Return the parts of a discriminator's loss whose terms are not turned off for this one."""
        off = self.weights.is_off
        return {part: value for part, value in self._parts.items() if not off("discriminator", f"{part}_{name}")}

    def initialise(self) -> None:
        """Draw or load the weights of every network, and check those of terms; called once all networks are there."""
        for network in self.children():
            initialise(network, self._init, self._init_gain)
        generators, discriminators = self._pretrained
        generators.load(self.translators)
        discriminators.load({name: getattr(self, f"discriminator_{name}") for name in self.adversarial_losses})
        configured = [name for name, value in self._parts.items() if value is not None]
        idle = configured + (["augmentation"] if self._augmentation else [])
        if idle and not self.adversarial_losses:
            raise UserError(f"method.{idle[0]} is configured, but no discriminator plays: leave it out")
        for part in configured:
            terms = [f"{part}_{name}" for name in self.adversarial_losses]
            self.weights.add_part(f"method.{part}", "discriminator", terms)

    def require_equal_channels(self, *terms: str) -> None:
        """Raise where a generator's term compares images of A with images of B and these have unlike channels."""
        a, b = self.channels["a"], self.channels["b"]
        wanted = [term for term in terms if self.weights.get("generator", term)]
        if a != b and wanted:
            raise UserError(
                f"method.weights.generator.{' and '.join(terms)} must be 0: A has {a} channels and B has {b}, "
                "and an identity needs as many"
            )

    @property
    def translators(self) -> dict[str, Network]:
        return {d: getattr(self, f"generator_{d}") for d in ("ab", "ba") if hasattr(self, f"generator_{d}")}

    def discriminators(self) -> dict[str, nn.Module]:
        return {name: getattr(self, f"discriminator_{name}") for name in sorted(self.adversarial_losses)}

    def extra_state(self) -> dict[str, Stateful]:
        return {name: part for loss in self.adversarial_losses.values() for name, part in loss.extra_state().items()}

    def translate(self, batch: Images, direction: str) -> Images:
        """Return `fake_b`, and `identity_b` where its term is weighted, beside `real_a` and `real_b`: N×C×H×W each.

        That is said of direction `ab`; in direction `ba` they are `fake_a` and `identity_a`.
        """
        source, target = direction[0], direction[1]
        wanted = bool(self.weights.get("generator", f"identity_{target}"))
        inputs = (batch[source], batch[target]) if wanted else (batch[source],)
        fake, *identity = apply(self.translators[direction], *inputs)
        images = {f"real_{source}": batch[source], f"real_{target}": batch[target], f"fake_{target}": fake}
        return images | ({f"identity_{target}": identity[0]} if wanted else {})

    def generator_loss(self, domain: str, images: Images) -> Tensor:
        """Return the adversarial loss of the generator of a domain's fakes, a scalar."""
        discriminator, fake, real = self._find(domain, images)
        return self.adversarial_losses[domain].generator_loss(discriminator, fake, real)

    def discriminator_loss(self, domain: str, images: Images) -> Terms:
        """Return the terms of a domain's discriminator: `adversarial_b`, and those of its configured parts."""
        discriminator, fake, real = self._find(domain, images)
        return self.adversarial_losses[domain].discriminator_loss(discriminator, real, fake)

    def identity_terms(self, domain: str, images: Images) -> Terms:
        """Return L1 of a domain's images to themselves translated (Zhu et al. 2017, section 5.2), where rendered."""
        name = f"identity_{domain}"
        return {name: l1_loss(images[name], images[f"real_{domain}"])} if name in images else {}

    def _find(self, domain: str, images: Images) -> tuple[nn.Module, Tensor, Tensor]:
        return getattr(self, f"discriminator_{domain}"), images[f"fake_{domain}"], images[f"real_{domain}"]


class GAN(GANMethod):
    """One generator against one discriminator; only optional terms (`+extra=…`) tie an image to its input."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.require_equal_channels("identity_b")
        self.generator_ab = self.make_generator("ab")
        self.discriminator_b = self.make_discriminator("b")
        self.initialise()

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b`, `fake_b` and, where weighted, `identity_b`: N×C×H×W each."""
        return self.translate(batch, "ab")

    def players(self) -> Sequence[Player]:
        return (
            Player("generator", (self.generator_ab,), self.generator_terms),
            Player("discriminator", (self.discriminator_b,), lambda images: self.discriminator_loss("b", images)),
        )

    def generator_terms(self, images: Images) -> Terms:
        """Section 3, and an identity where it is weighted."""
        return {"adversarial_ab": self.generator_loss("b", images)} | self.identity_terms("b", images)
