"""Who moves: the networks that a player trains, and the loss terms it minimises."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer

from diptych.arguments import Momentum, Rate
from diptych.errors import UserError

Images = dict[str, Tensor]
Terms = dict[str, Tensor]
MakeOptimizer = Callable[..., Optimizer]


class OptimizerSettings(TypedDict, total=False):
    """What a network may have of its own for the optimizer of its player."""

    lr: Rate
    betas: tuple[Momentum, Momentum]
    weight_decay: Rate


@runtime_checkable
class Stateful(Protocol):
    """Something whose state belongs in the checkpoint although it is no network.

    What `state_dict` has returned does not change any more: tensors are replaced rather than written to.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Player:
    """A side of the game: the networks it trains and the loss terms it minimises, unweighted, by name.

    `settings` are a network's own for the optimizer, such as `{"lr": 0.001}`, one mapping per network.
    """

    name: str
    networks: Sequence[nn.Module]
    terms: Callable[[Images], Terms]
    settings: Sequence[Mapping[str, Any]] = ()

    def parameters(self) -> list[nn.Parameter]:
        """Return the weights of all its networks."""
        return [parameter for network in self.networks for parameter in network.parameters()]

    @contextmanager
    def alone(self, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
        """Freeze those of the weights that are not its own: no gradient is computed for what does not move."""
        mine = {id(parameter) for parameter in self.parameters()}
        others = [parameter for parameter in parameters if id(parameter) not in mine and parameter.requires_grad]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the weights for an optimizer, those of equal settings together."""
        groups: list[dict[str, Any]] = []
        for network, settings in zip(self.networks, self.settings or [{}] * len(self.networks), strict=True):
            group = next((group for group in groups if {**group, "params": None} == {**settings, "params": None}), None)
            if group is None:
                groups.append(group := {"params": [], **settings})
            group["params"] += network.parameters()
        return groups


def require_players(key: str, given: Iterable[str], players: Sequence[str]) -> None:
    """Raise `UserError` where a recipe's key says something of a player that there is not."""
    if idle := sorted(set(given) - set(players)):
        raise UserError(f"{key}.{idle[0]}: the players are {', '.join(players)}")
