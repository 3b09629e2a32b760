"""What every method shares: players that move in turn on images rendered once."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from diptych.errors import UserError
from diptych.methods.player import Extra, Images, MakeOptimizer, Player, Stateful, Terms, Weights
from diptych.methods.random_state import capture_random_state, restore_random_state
from diptych.methods.rendering import Rendering, Thrift
from diptych.methods.schedule import Schedule
from diptych.networks import Network
from diptych.translator import CHECKPOINT_FORMAT


class Method(LightningModule):
    """A way of learning translators; a subclass says what is rendered, who plays, and for which terms.

    `weights` and `optimizer` are keyed by player; a term and its weight share a name, and neither may lack the other.
    `clip` is the largest norm of a player's gradient. `recipe` is what the checkpoint says about its making.
    `iteration` counts batches and `images_seen` images of one domain over all processes.
    """

    needs_pairs = False
    """Whether image i of A and of B must belong together."""

    def __init__(
        self,
        weights: Weights,
        optimizer: Mapping[str, MakeOptimizer],
        schedule: Schedule,
        extras: Mapping[str, Extra] | None = None,
        clip: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weights = {player: dict(terms) for player, terms in weights.items()}
        for player, term, weight in ((p, t, w) for p, terms in self.weights.items() for t, w in terms.items()):
            if not isinstance(weight, int | float) or not math.isfinite(weight):
                raise UserError(f"method.weights.{player}.{term} = {weight} must be a number; 0 turns the term off")
        self.make_optimizer = dict(optimizer)
        self.schedule = schedule
        self.extras = dict(extras or {})
        self.clip = dict(clip or {})
        self.thrift = Thrift()
        self.iteration = 0
        self.images_seen = 0
        self.images_per_epoch = 1
        self.recipe: dict[str, Any] = {}
        self._random_state: dict[str, Any] | None = None

    @abstractmethod
    def render(self, batch: Images) -> Images:
        """Return the images that all players look at, made once from `{"a": N×3×H×W, "b": N×3×H×W}`."""

    def render_direction(self, batch: Images, direction: str) -> Images:
        """Return those of the images on which the terms of one direction depend, where a method can tell them apart."""
        raise NotImplementedError

    @property
    def renders_apart(self) -> bool:
        """Whether the directions can be rendered one by one."""
        return type(self).render_direction is not Method.render_direction

    @abstractmethod
    def players(self) -> Sequence[Player]:
        """Return the players in the order in which they move."""

    @property
    @abstractmethod
    def translators(self) -> dict[str, Network]:
        """The networks handed to users, by direction: `ab`, `ba` or both."""

    def trains_translators(self, player: Player) -> bool:
        """Whether a player's networks are among those that render, so that it needs the images' graph."""
        return any(network in self.translators.values() for network in player.networks)

    def compile_networks(self, dynamic: bool | None = None) -> None:
        """Let each network be compiled at its first call; `dynamic` where images are of many sizes."""
        for network in self.children():
            if isinstance(network, Network):
                network.compile(dynamic=dynamic)

    def lay_out(self, channels_last: bool) -> None:
        """Keep the networks' weights, and with them all images between layers, channels last or not."""
        for network in self.children():
            if isinstance(network, Network):
                network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def save_memory(self, recompute: bool = False, by_direction: bool = False, pieces: int = 1) -> None:
        """Train in less memory and more time, to the same gradients but for rounding.

        `recompute`: networks compute activations again in the backward. `by_direction`: each direction's backward
        comes before the other is rendered. `pieces`: a batch is cut into so many, whose gradients add up (batch norm
        then takes its statistics of a piece).
        """
        able = [net for net in self.children() if isinstance(net, Network) and net.recomputes is not None]
        if recompute and not able:
            raise UserError("recompute=true: no network of this recipe can; generator=resnet with instance norm does")
        if by_direction and not self.renders_apart:
            raise UserError(f"by_direction=true: {type(self).__name__} does not render its directions apart")
        if pieces < 1:
            raise UserError(f"accumulate = {pieces} must be at least 1")
        for network in able if recompute else ():
            network.recomputes = True
        self.thrift = Thrift(pieces, by_direction)

    def discriminators(self) -> dict[str, nn.Module]:
        """Return the networks that judge images, by the domain they judge."""
        return {}

    def remembered(self) -> dict[str, Stateful]:
        """Return what the checkpoint must hold besides networks and optimizers, by name."""
        return {}

    def training_step(self, batch: Images, batch_index: int) -> None:
        """Let each player move once."""
        factor = self.schedule.factor(self.images_seen, self.images_per_epoch)
        rendering = Rendering(self, batch, self.thrift)
        for player, optimizer in zip(self.players(), self._list_optimizers(), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            self._move(player, optimizer, rendering)
        self.iteration += 1
        self.images_seen += len(batch["a"]) * self.trainer.world_size
        self.log_dict(
            {
                "step": float(self.images_seen),  # the x-axis of every logger
                "iteration": float(self.iteration),
                "images_seen": float(self.images_seen),
                "learning_rate": optimizer.param_groups[0]["lr"],
            }
        )

    def _move(self, player: Player, optimizer: Optimizer, rendering: Rendering) -> None:
        totals: Terms = {}
        seen: set[str] = set()
        with self._only(player):
            optimizer.zero_grad()
            for share, images in rendering.show(player):
                seen |= images.keys()
                terms = player.terms(images) | self._add_extras(player.name, images)
                self.manual_backward(share * self.weigh(player.name, terms))
                for term, value in terms.items():
                    totals[term] = totals.get(term, torch.zeros_like(value)) + share * value.detach()
                del images, terms  # and with them their graph, before the next is made
        self._check_complete(player.name, totals, seen)
        if player.name in self.clip:
            nn.utils.clip_grad_norm_(player.parameters(), self.clip[player.name])
        optimizer.step()
        self.log_dict({f"{player.name}/{term}": value for term, value in totals.items()})

    def _add_extras(self, player: str, images: Images) -> Terms:
        """Return the player's optional terms on these images, but for those weighted zero."""
        terms = {}
        for term, extra in self.extras.items():
            mine = extra.player == player and self.weight(player, term)
            if not (mine and extra.image in images and extra.reference in images):
                continue
            image, reference = images[extra.image], images[extra.reference].detach()
            if image.shape[1] != reference.shape[1]:
                counts = f"{extra.image} has {image.shape[1]} channels, {extra.reference} has {reference.shape[1]}"
                raise UserError(f"method.extras.{term}: {counts}; set method.weights.{player}.{term}=0")
            terms[term] = extra.loss(image, reference)
        return terms

    def weigh(self, player: str, terms: Terms) -> Tensor:
        """Return Σ weight·term; every term must have a weight."""
        weights = self.weights.get(player, {})
        missing = sorted(terms.keys() - weights.keys())
        if missing:
            raise UserError(f"method.weights.{player}.{missing[0]} is not set, but the method has this term")
        return torch.stack([weights[term] * value for term, value in terms.items()]).sum()

    def _check_complete(self, player: str, terms: Terms, images: set[str]) -> None:
        """Raise where a weight is for a term that did not come up; one weighted zero may be left out."""
        idle = sorted(t for t, weight in self.weights.get(player, {}).items() if weight and t not in terms)
        for term in (term for term in idle if term in self.extras):
            pair = (self.extras[term].image, self.extras[term].reference)
            absent = [name for name in pair if name not in images]
            if absent:
                raise UserError(f"method.extras.{term}: no image {absent[0]!r}; there are {', '.join(sorted(images))}")
            if self.extras[term].player == player:
                raise UserError(f"method.extras.{term}: {' and '.join(pair)} need by_direction=false")
        if idle:
            known = ", ".join(sorted(terms))
            raise UserError(f"method.weights.{player}.{idle[0]} weights a term that does not exist; there are: {known}")

    def weight(self, player: str, term: str) -> float:
        """Return a term's weight, zero where it has none."""
        return self.weights.get(player, {}).get(term, 0.0)

    @contextmanager
    def _only(self, player: Player) -> Iterator[None]:
        """Freeze the networks of everybody else: no gradient is computed for weights that do not move."""
        mine = {id(parameter) for parameter in player.parameters()}
        others = [p for p in self.parameters() if id(p) not in mine and p.requires_grad]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def configure_optimizers(self) -> list[Optimizer]:
        """Return one optimizer per player, in the order of the players."""
        optimizers = []
        for player in self.players():
            if player.name not in self.make_optimizer:
                raise UserError(f"method.optimizer.{player.name} is not set")
            optimizer = self.make_optimizer[player.name](player.parameter_groups())
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
            optimizers.append(optimizer)
        return optimizers

    def _list_optimizers(self) -> list[Optimizer]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]  # type: ignore[return-value, list-item]

    def on_fit_start(self) -> None:
        """Learn the length of an epoch from the data, and whether these are what the method needs."""
        if self.needs_pairs and not getattr(self.trainer.datamodule, "paired", True):  # type: ignore[attr-defined]
            raise UserError(f"{type(self).__name__} learns from pairs: data.paired=true")
        self.images_per_epoch = getattr(self.trainer.datamodule, "images_per_epoch", 1)  # type: ignore[attr-defined]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counters, the translators' descriptions and each process's memory: tensors, numbers, strings."""
        prefixes = {id(module): name for name, module in self.named_modules()}
        checkpoint.setdefault("diptych", {})  # callbacks have had their turn
        checkpoint["diptych"] |= {
            "format": CHECKPOINT_FORMAT,
            "iteration": self.iteration,
            "images_seen": self.images_seen,
            "recipe": self.recipe,
            "translators": {
                direction: {**network.describe(), "prefix": f"{prefixes[id(network)]}."}
                for direction, network in self.translators.items()
            },
            "processes": self._gather(
                {
                    "random": capture_random_state(),
                    "remembered": {name: part.state_dict() for name, part in self.remembered().items()},
                }
            ),
        }

    def _gather(self, own: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what every process has, by rank."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return [own]
        everybody: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everybody, own)
        return everybody

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting and remembering where the checkpoint stopped."""
        saved = checkpoint["diptych"]
        self.iteration, self.images_seen = saved["iteration"], saved["images_seen"]
        processes = saved["processes"]
        own = processes[self.global_rank % len(processes)]
        for name, part in self.remembered().items():
            part.load_state_dict(own["remembered"][name])
        self._random_state = own["random"]

    def on_train_batch_start(self, batch: Images, batch_index: int) -> None:
        """Take up a checkpoint's random state, now that nothing else will draw before the first step."""
        if self._random_state is not None:
            restore_random_state(self._random_state)
            self._random_state = None
