"""What a network may be built from: numbers, words, booleans, nothing, and lists of these, as annotations ask."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from diptych.errors import UserError

Plain: TypeAlias = "bool | int | float | str | list[Plain] | None"
"""What a recipe, a JSON header and Python say alike."""
_SCALARS: tuple[type, ...] = (bool, int, float, str)


@dataclass(frozen=True)
class Range:
    """The smallest and the largest number that an argument may be."""

    low: float
    high: float


def copy_lists(value: Any) -> Any:
    """Return the value with lists of its own, so that no one's later change to them reaches another."""
    return [copy_lists(item) for item in value] if isinstance(value, list) else value


def find_problem(place: str, value: Any, hint: Any) -> str | None:
    """Say which place holds what, and what an annotation wants there; None when the value fits."""
    origin = get_origin(hint)
    if origin is Annotated:
        kind, *bounds = get_args(hint)
        return find_problem(place, value, kind) or _find_excess(place, value, bounds)
    if origin in (Union, UnionType):
        return _find_problem_of_union(place, value, get_args(hint))
    if (hint is list or origin is list) and type(value) is list:
        (item,) = get_args(hint) or (Any,)
        problems = (find_problem(f"{place}[{index}]", one, item) for index, one in enumerate(value))
        return next(filter(None, problems), None)
    if hint is Any and type(value) is list:
        return find_problem(place, value, list)
    return None if _is_of_kind(value, hint, place) else f"{place} = {reprlib.repr(value)}: must be {_describe(hint)}"


def _find_excess(place: str, value: Any, bounds: Sequence[Any]) -> str | None:
    for bound in bounds:
        if isinstance(bound, Range) and type(value) in (int, float) and not bound.low <= value <= bound.high:
            return f"{place} = {reprlib.repr(value)}: must lie between {bound.low} and {bound.high}"
    return None


def _find_problem_of_union(place: str, value: Any, members: Sequence[Any]) -> str | None:
    """Where a member is of the value's kind, its own problem says more than that no member fits."""
    problems = [find_problem(place, value, member) for member in members]
    if None in problems:
        return None
    nearest = (problem for problem, member in zip(problems, members, strict=True) if _is_near(value, member, place))
    return next(nearest, f"{place} = {reprlib.repr(value)}: must be {' or '.join(map(_describe, members))}")


def _is_near(value: Any, hint: Any, place: str) -> bool:
    """Whether a value is of a member's kind, although too large, or a list of something else."""
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return type(value) is list if list in (kind, get_origin(kind)) else _is_of_kind(value, kind, place)


def _is_of_kind(value: Any, hint: Any, place: str) -> bool:
    """Whether a value is of a type, or one of the choices; bool is an int to isinstance, not to a reader."""
    if get_origin(hint) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if hint is Any:
        return value is None or type(value) in _SCALARS
    if hint in (None, NoneType):
        return value is None
    if list in (hint, get_origin(hint)):
        return type(value) is list
    if hint not in _SCALARS:
        raise UserError(f"{place} is annotated {hint}: a network is built from bool, int, float, str, None and lists")
    return type(value) is hint or (hint is float and type(value) is int)


def _describe(hint: Any) -> str:
    """Say what a value must be: `of type int`, `one of instance, batch`, `null`, `a list`."""
    if get_origin(hint) is Annotated:
        return _describe(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_describe, get_args(hint)))
    if list in (hint, get_origin(hint)):
        return "a list"
    if hint is Any:
        return "a number, a word, true, false, null or a list"
    return "null" if hint in (None, NoneType) else f"of type {hint.__name__}"
