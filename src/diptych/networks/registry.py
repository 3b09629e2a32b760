"""Networks by name and plain arguments: the same words in a recipe, in a bundle's header and in Python."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from torch import nn

from diptych.arguments import Plain, Range, copy_lists, find_oddity, find_problem, is_plain, list_arguments, suggest
from diptych.errors import UserError
from diptych.plugins import load_plugins

Channels = Annotated[int, Range(1, 64)]
Width = Annotated[int, Range(1, 1024)]
Depth = Annotated[int, Range(1, 64)]
Norm = Literal["instance", "batch", "none"]
PRETRAINED: dict[str, Any] = {
    "pretrained": str | Path | Mapping[str, str | Path | None] | None,
    "pretrained_strict": bool,
}
"""Keys beside a network's arguments in a recipe, and what they may be: which weights a method lets it start from."""

_NETWORKS: dict[str, type["Network"]] = {}


class Network(nn.Module):
    """A module that is known by its class's name and remembers the arguments it was built from."""

    arguments: dict[str, Plain]
    translates = False
    """Whether its output is an image."""
    stride = 1
    """What the sides of images are brought to a multiple of."""
    smallest = 1
    """What the sides of images are brought to at least."""
    recomputes: bool | None = None
    """Whether training forgets activations and computes them again in the backward; None where it cannot."""

    def __init_subclass__(cls, registered: bool = True, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if registered:
            _register(cls)

    def __new__(cls, *positional: Any, **named: Any) -> "Network":
        network = super().__new__(cls)
        bound = inspect.signature(cls).bind(*positional, **named)
        bound.apply_defaults()
        network.__dict__["arguments"] = {name: copy_lists(value) for name, value in bound.arguments.items()}
        return network

    def describe(self) -> dict[str, Any]:
        """Return the words from which `build` makes this network again."""
        return {"network": type(self).__name__, "arguments": dict(self.arguments)}


def _register(cls: type[Network]) -> None:
    """Let a class be known by its name, unless another package's is."""
    known = _NETWORKS.get(cls.__name__, cls)
    packages = [one.__module__.partition(".")[0] for one in (known, cls)]
    if len(set(packages)) > 1:
        raise UserError(f"two networks are named {cls.__name__}: {' and '.join(packages)} each have one; rename yours")
    _NETWORKS[cls.__name__] = cls


def names() -> list[str]:
    """Return the names of all registered networks."""
    return sorted(_NETWORKS)


def build(network: str, **arguments: Any) -> Network:
    """Build a registered network; `UserError` says which name, argument, type or bound is wrong."""
    return make_network(network, arguments)


def make_network(network: str, arguments: Mapping[str, Any]) -> Network:
    """Do what `build` does, for arguments that somebody else chose, whatever they are named."""
    cls = find_network(network)
    return cls(**validate(cls, arguments))


def find_network(name: object, place: str = "") -> type[Network]:
    """Return the registered network of a name; `UserError` says which there are, and where a recipe has it."""
    if name not in names():
        load_plugins("diptych.networks")  # whose classes register themselves
    cls = _NETWORKS.get(name) if isinstance(name, str) else None
    if cls is None:
        said = f"{place}: unknown" if place else "unknown"
        raise UserError(f"{said} network {name!r}{suggest(str(name), names())}; known: {', '.join(names())}")
    return cls


def build_for(settings: Mapping[str, Any], **channels: int) -> Network:
    """Build the network that a recipe describes for the channels that its data have."""
    return build(settings.get("network", ""), **choose_arguments(settings, channels), **channels)


def choose_arguments(settings: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
    """Return a network's own arguments of what a recipe says of it, among which none of those may be that are given."""
    if stated := sorted(settings.keys() & set(given)):
        raise UserError(f"{settings.get('network')}.{stated[0]} follows from data.channels_a and data.channels_b")
    return {name: value for name, value in settings.items() if name not in ("network", *PRETRAINED)}


def validate(cls: type[Network], arguments: Mapping[str, Any], place: str = "") -> dict[str, Plain]:
    """Return the arguments when each is one the network takes, of the right type and within its bounds.

    `place` is where a recipe says them, by default the network's name.
    """
    known, _ = list_arguments(cls)  # type: ignore[arg-type]  # taken for one of its instances
    for name, value in arguments.items():
        if name not in known:
            raise UserError(f"{cls.__name__} takes no argument {name!r}{suggest(name, list(known))}")
        where, hint = f"{place or cls.__name__}.{name}", known[name].hint
        if not is_plain(hint):
            plain = "a network is built from bool, int, float, str, None and lists"
            raise UserError(f"{where} is annotated {hint}: {plain}")
        if problem := find_problem(where, value, hint) or find_oddity(where, value):
            raise UserError(problem)
    return dict(arguments)
