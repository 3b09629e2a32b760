"""What every method shares: players that move in turn on images rendered once."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import nn
from torch.optim import Optimizer

from diptych.arguments import Positive
from diptych.errors import UserError
from diptych.methods.extra import Extra, choose_extras, expand_directions
from diptych.methods.player import Images, MakeOptimizer, Player, Stateful, Terms, require_players
from diptych.methods.rendering import Recall, Render, Rendering, WholeBatch
from diptych.methods.schedule import Schedule
from diptych.methods.weights import Weight, Weights
from diptych.networks import Network


class Method(LightningModule):
    """A way of learning translators; a subclass says what is rendered, who plays, and for which terms.

    `weights` and `optimizer` are keyed by player; `extras` are optional terms; `clip` is the largest norm of a player's
    gradient. `iteration` counts batches and `images_seen` images of one domain over all processes.
    """

    needs_pairs = False
    """Whether image i of A and of B must belong together."""
    whole_batch_terms: tuple[str, ...] = ()
    """Terms that are no mean over images: what they say of a batch is not what they say of its parts."""
    renderer: Callable[[Render, Images], Rendering] = WholeBatch
    """How a batch is rendered for the players: whole, or as a run says that is short of memory."""

    def __init__(
        self,
        weights: Mapping[str, Mapping[str, Weight]],
        optimizer: Mapping[str, MakeOptimizer],
        schedule: Schedule,
        extras: Mapping[str, Extra] | None = None,
        clip: Mapping[str, Positive] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weights, self.schedule = Weights(weights), schedule
        self.make_optimizer, self.extras, self.clip = dict(optimizer), dict(extras or {}), dict(clip or {})
        self.iteration, self.images_seen, self.images_per_epoch = 0, 0, 1
        self.gives_up = False  # said by who finds that a batch's numbers are none: the rest of it is left out

    @abstractmethod
    def render(self, batch: Images) -> Images:
        """Return the images that all players look at, made once from `{"a": N×C×H×W, "b": N×C×H×W}`."""

    @abstractmethod
    def players(self) -> Sequence[Player]:
        """Return the players in the order in which they move."""

    @property
    @abstractmethod
    def translators(self) -> dict[str, Network]:
        """The networks handed to users, by direction: `ab`, `ba` or both."""

    def discriminators(self) -> dict[str, nn.Module]:
        """Return the networks that judge images, by the domain they judge."""
        return {}

    def extra_state(self) -> dict[str, Stateful]:
        """Return what a checkpoint must hold besides networks and optimizers, by name."""
        return {}

    def update_statistics(self, recall: Recall) -> None:
        """Take in what is learnt by counting rather than by descent; called once a batch, after all have moved."""

    def training_step(self, batch: Images, batch_index: int) -> None:
        """Let each player move once, in turn."""
        self.gives_up = False
        factor = self.schedule.factor(self.images_seen, self.images_per_epoch)
        rendering = self.renderer(self.render, batch)
        for player, optimizer in zip(self.players(), self._list_optimizers(), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            self._move(player, optimizer, rendering)
            if self.gives_up:
                break
        else:
            self.update_statistics(rendering.recall)
        self.iteration += 1
        self.images_seen += len(batch["a"]) * self.trainer.world_size
        counts = {"iteration": float(self.iteration), "images_seen": float(self.images_seen)}
        rate = {"learning_rate": optimizer.param_groups[0]["lr"]}
        self.log_dict({"step": float(self.images_seen), **counts, **rate})  # `step` is the x-axis of every logger

    def _move(self, player: Player, optimizer: Optimizer, rendering: Rendering) -> None:
        totals: Terms = {}
        with player.alone(self.parameters()):
            optimizer.zero_grad()
            for share, images in rendering.show(player):
                terms = player.terms(images) | self._compute_extras(player, images)
                self.manual_backward(share * self.weights.sum(player.name, terms))
                for term, value in terms.items():
                    totals[term] = totals.get(term, torch.zeros_like(value)) + share * value.detach()
                del images, terms  # and with them their graph, before the next is made
        self.weights.check_used(player.name, totals)
        if player.name in self.clip:
            nn.utils.clip_grad_norm_(player.parameters(), self.clip[player.name])
        optimizer.step()
        self.log_dict({f"{player.name}/{term}": value for term, value in totals.items()})

    def _compute_extras(self, player: Player, images: Images) -> Terms:
        mine = {name: extra for name, extra in self.extras.items() if extra.player == player.name}
        return {name: extra.compute(f"method.extras.{name}", images) for name, extra in mine.items()}

    def configure_optimizers(self) -> list[Optimizer]:
        """Return one optimizer per player, in the order of the players."""
        optimizers = []
        for player in self.players():
            if player.name not in self.make_optimizer:
                raise UserError(f"method.optimizer.{player.name} is not set")
            optimizers.append(self.make_optimizer[player.name](player.parameter_groups()))
            for group in optimizers[-1].param_groups:
                group["initial_lr"] = group["lr"]
        return optimizers

    def _list_optimizers(self) -> list[Optimizer]:
        return optimizers if isinstance(optimizers := self.optimizers(), list) else [optimizers]  # type: ignore[return-value, list-item]

    def check(self, data: Any) -> None:
        """Raise `UserError` where the data, or parts of the recipe, are not what the method needs."""
        if self.needs_pairs and not getattr(data, "paired", True):
            raise UserError(f"{type(self).__name__} learns from pairs: data.paired=true")
        require_players("method.clip", self.clip, players := [player.name for player in self.players()])
        for name, extra in self.extras.items():
            extra.require_player(key := f"method.extras.{name}", players)
            self.weights.add_part(key, extra.player, expand_directions(name, extra, self.translators), extra.weight)

    def on_fit_start(self) -> None:
        """Learn the length of an epoch from the data, and which extras are weighted in which directions."""
        self.check(data := self.trainer.datamodule)  # type: ignore[attr-defined]
        self.images_per_epoch = getattr(data, "images_per_epoch", 1)
        self.extras = choose_extras(self.extras, self.translators, self.weights.get)
