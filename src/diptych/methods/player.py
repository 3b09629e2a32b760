"""The words of the game: who plays, on which images, for which terms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

Images = dict[str, Tensor]
Terms = dict[str, Tensor]
Weights = Mapping[str, Mapping[str, float]]
MakeOptimizer = Callable[..., Optimizer]


class Stateful(Protocol):
    """Something whose state belongs in the checkpoint although it is no network."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Player:
    """One side of the game: the networks it trains and the loss terms it minimises."""

    name: str
    networks: Sequence[nn.Module]
    terms: Callable[[Images], Terms]


@dataclass(frozen=True)
class Extra:
    """An optional term from YAML alone: a loss on two of the rendered images, added to a player's terms."""

    image: str
    reference: str
    loss: Callable[[Tensor, Tensor], Tensor]
    player: str = "generator"
