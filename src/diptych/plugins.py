"""Somebody else's installed packages, which say by entry points where their networks, methods and terms are."""

from functools import cache
from importlib.metadata import entry_points

from diptych.errors import name_reason
from diptych.terminal import complain

GROUPS = ("diptych.networks", "diptych.methods", "diptych.losses", "diptych.metrics")
_TRIED: set[tuple[str, str, str]] = set()


def load_plugins(group: str) -> None:
    """Import what packages offer in a group, each once; one that cannot be imported costs a line on stderr."""
    for point in entry_points(group=group):
        key = (group, point.name, point.value)
        if key in _TRIED:
            continue
        _TRIED.add(key)
        try:
            point.load()
        except Exception as error:  # whatever a foreign module raises, the others are not to blame
            package = point.dist.name if point.dist else "an installed package"
            what = f"entry point {point.name} = {point.value} ({group}) of {package}"
            complain(f"warning: {what} cannot be imported: {name_reason(error)}")


@cache
def list_modules() -> list[str]:
    """Return the modules of all entry points of all groups."""
    points = (point for group in GROUPS for point in entry_points(group=group))
    return sorted({module for point in points if (module := point.value.partition(":")[0].strip())})
