"""Optional terms from a recipe alone: `+extra=gram`, or any image-level loss on two of the rendered images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from diptych.errors import UserError
from diptych.losses.precision import in_float32
from diptych.methods.player import Images


@dataclass(frozen=True)
class Extra:
    """A loss on a rendered image and its reference, added to a player's terms under the name it has in the recipe.

    `{source}` and `{target}` in the images' names make a term of each direction: `fake_{target}` is `fake_b` in
    `gram_ab` and `fake_a` in `gram_ba`. Without a reference the loss takes the image alone.
    """

    image: str
    loss: Callable[..., Tensor]
    reference: str | None = None
    player: str = "generator"
    weight: float = 1.0

    def require_player(self, key: str, players: Sequence[str]) -> None:
        """Raise `UserError` where nobody of these names would minimise it."""
        if self.player not in players:
            raise UserError(f"{key}.player = {self.player} must be one of {', '.join(players)}: +{key}.player=NAME")

    def compute(self, key: str, images: Images) -> Tensor:
        """Return the term, a scalar; the reference gets no gradient."""
        names = [self.image] if self.reference is None else [self.image, self.reference]
        if absent := [name for name in names if name not in images]:
            raise UserError(f"{key}: no image {absent[0]!r}; there are {', '.join(sorted(images))}")
        image = images[self.image]
        if self.reference is None:
            return in_float32(self.loss)(image)
        reference = images[self.reference].detach()
        if image.shape[1] != reference.shape[1]:
            counts = f"{self.image} has {image.shape[1]} channels, {self.reference} has {reference.shape[1]}"
            raise UserError(f"{key}: {counts}; leave the term out")
        return in_float32(self.loss)(image, reference)


def expand_directions(name: str, extra: Extra, directions: Iterable[str]) -> dict[str, Extra]:
    """Return the extra by its name, or one for each direction (`ab`, `ba`) where it names `{source}` or `{target}`."""
    if "{" not in f"{extra.image}{extra.reference}":
        return {name: extra}
    expanded = {}
    for direction in directions:
        source, target = direction[0], direction[1]
        image, reference = (
            text and text.format(source=source, target=target) for text in (extra.image, extra.reference)
        )
        expanded[f"{name}_{source}{target}"] = replace(extra, image=image or "", reference=reference)
    return expanded


def choose_extras(
    extras: Mapping[str, Extra], directions: Iterable[str], weigh: Callable[[str, str], float]
) -> dict[str, Extra]:
    """Return those of the directions' extras that have a weight, by player and term, by the names of their terms."""
    named = [expand_directions(name, extra, directions) for name, extra in extras.items()]
    return {term: extra for terms in named for term, extra in terms.items() if weigh(extra.player, term)}
