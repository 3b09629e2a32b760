"""Networks by name and plain arguments: the same words in a recipe, in a bundle's header and in Python."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_type_hints

from torch import nn

from diptych.errors import UserError
from diptych.networks.arguments import Plain, Range, copy_lists, find_problem
from diptych.plugins import load_plugins

Channels = Annotated[int, Range(1, 64)]
Width = Annotated[int, Range(1, 1024)]
Depth = Annotated[int, Range(1, 64)]
Norm = Literal["instance", "batch", "none"]
PRETRAINED = ("pretrained", "pretrained_strict")
"""Keys beside a network's arguments in a recipe: which weights a method lets it start from."""

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
    if network not in names():
        load_plugins("diptych.networks")  # whose classes register themselves
    cls = _NETWORKS.get(network) if isinstance(network, str) else None
    if cls is None:
        raise UserError(f"unknown network {network!r}{_suggest(str(network), names())}; known: {', '.join(names())}")
    return cls(**validate(cls, arguments))


def build_for(settings: Mapping[str, Any], **channels: int) -> Network:
    """Build the network that a recipe describes for the channels that its data have."""
    if stated := sorted(settings.keys() & channels.keys()):
        raise UserError(f"{settings.get('network')}.{stated[0]} follows from data.channels_a and data.channels_b")
    arguments = {name: value for name, value in settings.items() if name not in PRETRAINED} | channels
    return build(**arguments)


def validate(cls: type[Network], arguments: Mapping[str, Any]) -> dict[str, Plain]:
    """Return the arguments when each is one the network takes, of the right type and within its bounds."""
    hints = get_type_hints(cls.__init__, include_extras=True)
    hints.pop("return", None)
    for name, value in arguments.items():
        if name not in hints:
            raise UserError(f"{cls.__name__} takes no argument {name!r}{_suggest(name, list(hints))}")
        if problem := find_problem(f"{cls.__name__}.{name}", value, hints[name]):
            raise UserError(problem)
    return dict(arguments)


def _suggest(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
