"""Somebody else's installed packages, which say by entry points where their networks, methods and terms are."""

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


def list_packages() -> list[str]:
    """Return the top-level packages of all entry points of all groups."""
    points = (point for group in GROUPS for point in entry_points(group=group))
    modules = (point.value.partition(":")[0].strip() for point in points)
    return sorted({module.partition(".")[0] for module in modules if module})
