"""What each loss term counts: weights by player and by the term's name, and neither without the other."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from torch import Tensor

from diptych.arguments import Range
from diptych.errors import UserError
from diptych.methods.player import Terms

Weight = Annotated[float, Range(-1e30, 1e30)]
"""What float32 can hold, the products with it too."""


class Weights:
    """`{"generator": {"cycle_a": 10.0, …}, …}`: the total loss of a player is Σ weight·term."""

    def __init__(self, weights: Mapping[str, Mapping[str, float]]) -> None:
        self.by_player = {player: dict(terms) for player, terms in weights.items()}
        for player, terms in self.by_player.items():
            for term, weight in terms.items():
                if not isinstance(weight, int | float) or not math.isfinite(weight):
                    raise UserError(f"{_name(player, term)} = {weight} must be a number; 0 turns the term off")

    def get(self, player: str, term: str) -> float:
        """Return a term's weight, zero where it has none."""
        return self.by_player.get(player, {}).get(term, 0.0)

    def is_off(self, player: str, term: str) -> bool:
        """Whether a term is turned off, as by `=0`; one without any weight is a mistake that must not be hidden."""
        return self.by_player.get(player, {}).get(term) == 0

    def add_part(self, key: str, player: str, terms: Iterable[str], weight: float = 1.0) -> None:
        """Give a configured part's terms their weight unless the recipe says another.

        `UserError` where it weighs all of them 0: the part would be computed for nothing.
        """
        mine, terms = self.by_player.setdefault(player, {}), list(terms)
        for term in terms:
            mine.setdefault(term, weight)
        if terms and not any(mine[term] for term in terms):
            weighed = " and ".join(_name(player, term) for term in terms)
            raise UserError(f"{key} is configured, but {weighed} = 0 turns it off: leave one of both out")

    def sum(self, player: str, terms: Terms) -> Tensor:
        """Return Σ weight·term, a scalar; every term must have a weight."""
        weights = self.by_player.get(player, {})
        if missing := sorted(terms.keys() - weights.keys()):
            raise UserError(f"{_name(player, missing[0])} is not set, but the method has this term")
        return torch.stack([weights[term] * value for term, value in terms.items()]).sum()

    def check_used(self, player: str, terms: Iterable[str]) -> None:
        """Raise `UserError` where a weight is for a term that did not come up; one of zero may be left out."""
        known = sorted(terms)
        idle = sorted(term for term, weight in self.by_player.get(player, {}).items() if weight and term not in known)
        if idle:
            raise UserError(
                f"{_name(player, idle[0])} weights a term that does not exist; there are: {', '.join(known)}"
            )


def _name(player: str, term: str) -> str:
    return f"method.weights.{player}.{term}"
