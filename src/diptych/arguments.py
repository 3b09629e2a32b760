"""What a value may be, as annotations say it: kinds, choices and bounds of networks' arguments and recipes' keys."""

import inspect
import math
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from diptych.errors import UserError

T = TypeVar("T")
Plain: TypeAlias = "bool | int | float | str | list[Plain] | None"
"""What a recipe, a JSON header and Python say alike."""
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a word", Path: "a file", NoneType: "null",
}  # fmt: skip
_SCALARS: tuple[Any, ...] = (bool, int, float, str, NoneType)
_LISTS: tuple[Any, ...] = (list, tuple, Sequence)
_MAPPINGS: tuple[Any, ...] = (dict, Mapping)


@dataclass(frozen=True)
class Range:
    """The smallest and the largest number that an argument may be."""

    low: float
    high: float = math.inf


@dataclass(frozen=True)
class Pattern:
    """A regular expression that the whole of a word must match, and what that means."""

    regex: str
    meaning: str


@dataclass(frozen=True)
class Part(Generic[T]):
    """An object that is still to be built: its class and arguments; `later`: what builds it is wanted, not itself."""

    kind: type[T]
    arguments: Mapping[str, Any]
    later: bool = False


Label = Annotated[str, Pattern(r".+", "a name")]
FilePath = Annotated[str, Pattern(r"[^\x00]+", "a path")]
Count = Annotated[int, Range(1, 1_000_000_000)]
"""At least one of something."""
Amount = Annotated[int, Range(0, 1_000_000_000)]
"""Any number of something, such as batches from one time to the next; 0 is none, or never."""
Rate = Annotated[float, Range(0, 1e6)]
"""An optimizer's learning rate or weight decay."""
Momentum = Annotated[float, Range(0, 0.999999999)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Share = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, 0.9999999)]
"""What a running mean keeps of itself, below one."""
Positive = Annotated[float, Range(1e-9, 1e9)]
"""Above zero, and not so far from one that float32 ends."""


def copy_lists(value: Any) -> Any:
    """Return the value with lists of its own, so that no one's later change to them reaches another."""
    return [copy_lists(item) for item in value] if isinstance(value, list) else value


def is_plain(hint: Any) -> bool:
    """Whether an annotation asks for what JSON says as well: bool, int, float, str, None and lists of these."""
    kind = get_origin(hint) or hint
    if kind in (Annotated, Union, UnionType, list):
        return all(map(is_plain, get_args(hint)[:1] if kind is Annotated else get_args(hint)))
    return kind in (Literal, Any, None, *_SCALARS)


def find_oddity(place: str, value: Any) -> str | None:
    """Say which place holds something else than plain data; None where all of it is."""
    if isinstance(value, list):
        problems = (find_oddity(f"{place}[{index}]", item) for index, item in enumerate(value))
        return next(filter(None, problems), None)
    plain = type(value) in _SCALARS
    return None if plain else f"{place} = {_show(value)}: must be a number, a word, true, false, null or a list"


def suggest(word: str, known: Sequence[str]) -> str:
    """Return the nearest of the known words as a question in brackets, or nothing."""
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Argument(NamedTuple):
    """What a constructor's argument is annotated with, and whether there is no default for it."""

    hint: Any
    required: bool


@cache
def list_arguments(cls: type) -> tuple[dict[str, Argument], bool]:
    """Return a class's arguments by name, and whether it takes others besides.

    Where a constructor of this package hands further ones on (`**settings`), those of the class it inherits from belong
    to it; of other packages nobody knows where they go.
    """
    found: dict[str, Argument] = {}
    ours = any(base.__module__.startswith("diptych.") for base in cls.__mro__)
    for base in cls.__mro__[:-1]:
        init = vars(base).get("__init__")
        if init is None:
            continue
        hints, parameters = _read_hints(init), list(inspect.signature(init).parameters.values())[1:]
        named = (one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))
        found = {one.name: Argument(hints.get(one.name, Any), one.default is one.empty) for one in named} | found
        takes_more = any(one.kind is one.VAR_KEYWORD for one in parameters)
        if not takes_more or not ours:
            return found, takes_more
    return found, False


def checked(construct: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that raises `UserError` for arguments that are not what its annotations say.

    The place of an argument is where a recipe says it, a class's `place`, or else the class's name.
    """
    signature = inspect.signature(construct)

    @wraps(construct)
    def check_and_construct(self: Any, /, *args: Any, **kwargs: Any) -> None:
        require_annotated(self, signature.bind(self, *args, **kwargs).arguments, construct)
        construct(self, *args, **kwargs)

    return check_and_construct


def require_annotated(owner: object, values: Mapping[str, Any], annotated: Any) -> None:
    """Raise `UserError` for the first value that is not what a function's or class's annotations say of its name."""
    place, hints = getattr(owner, "place", type(owner).__name__), _read_hints(annotated)
    for name, value in values.items():
        if problem := find_problem(f"{place}.{name}", value, hints.get(name, Any)):
            raise UserError(problem)


def _read_hints(function: Any) -> dict[str, Any]:
    """Return a constructor's annotations; none where they name what is not there when the program runs."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:
        return {}


def find_problem(place: str, value: Any, hint: Any) -> str | None:
    """Say which place holds what, and what an annotation wants there; None when the value fits.

    Annotations of other kinds (type variables, protocols, …) want nothing.
    """
    origin, members = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind, *bounds = members
        return find_problem(place, value, kind) or _find_excess(place, value, bounds)
    if origin in (Union, UnionType):
        return _find_problem_of_union(place, value, members)
    if not _is_of_kind(value, hint):
        return f"{place} = {_show(value)}: must be {_describe(hint)}"
    if is_typeddict(hint):
        return _find_problem_of_names(place, value, get_type_hints(hint, include_extras=True))
    for inner, one, wanted in _list_items(value, origin, members):
        if problem := find_problem(f"{place}{inner}", one, wanted):
            return problem
    return None


def _list_items(value: Any, origin: Any, members: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place, the value and the annotation of whatever a list or mapping of annotated items holds."""
    if origin in _LISTS and members:
        for index, item in enumerate(value):
            yield f"[{index}]", item, members[index] if origin is tuple and ... not in members else members[0]
    elif origin in _MAPPINGS:
        for key, item in value.items():
            yield f".{key}'s name", key, members[0]
            yield f".{key}", item, members[1]


def _find_problem_of_names(place: str, value: Mapping[str, Any], hints: Mapping[str, Any]) -> str | None:
    for name, one in value.items():
        if name not in hints:
            return f"{place}.{name}: there is no such key{suggest(str(name), list(hints))}"
        if problem := find_problem(f"{place}.{name}", one, hints[name]):
            return problem
    return None


def _show(value: Any) -> str:
    """Return a value short, and as a recipe would say it where Python has another word."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return value.kind.__name__ if isinstance(value, Part) else reprlib.repr(value)


def _find_excess(place: str, value: Any, bounds: Sequence[Any]) -> str | None:
    for bound in bounds:
        if isinstance(bound, Pattern) and isinstance(value, str) and not re.fullmatch(bound.regex, value, re.DOTALL):
            return f"{place} = {_show(value)}: must be {bound.meaning}"
        if isinstance(bound, Range) and type(value) in (int, float) and not bound.low <= value <= bound.high:
            known = f"lie between {bound.low} and {bound.high}" if bound.high < math.inf else f"be at least {bound.low}"
            return f"{place} = {_show(value)}: must {known}"
    return None


def _find_problem_of_union(place: str, value: Any, members: Sequence[Any]) -> str | None:
    """Where a member is of the value's kind, its own problem says more than that no member fits."""
    problems = [find_problem(place, value, member) for member in members]
    if None in problems:
        return None
    nearest = (problem for problem, member in zip(problems, members, strict=True) if _is_of_kind(value, _strip(member)))
    return next(nearest, f"{place} = {_show(value)}: must be {' or '.join(map(_describe, members))}")


def _strip(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _is_of_kind(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation's outermost word says; bool is an int to isinstance, not to a reader."""
    kind = get_origin(hint) or hint
    if kind is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if kind is float:
        return type(value) in (int, float) and abs(value) < math.inf
    if kind is None or kind in _SCALARS:
        return type(value) is (NoneType if kind is None else kind)
    if kind in _LISTS:
        fixed = kind is tuple and get_args(hint) and ... not in get_args(hint)
        return isinstance(value, list | tuple) and (not fixed or len(value) == len(get_args(hint)))
    if kind in _MAPPINGS or is_typeddict(hint):
        return isinstance(value, Mapping)
    if kind is Part:
        return isinstance(value, Part) and _is_instance(value, get_args(hint)[0])
    if kind is Callable:
        return _makes(value, hint)
    return hint in (Any, object) or not isinstance(hint, type) or _is_instance(value, hint)


def _makes(value: Any, hint: Any) -> bool:
    """Whether a value can be called for what a `Callable[…, result]` promises; what builds a part later gives it."""
    result = (get_args(hint) or (Any, Any))[-1]
    if not isinstance(value, Part):
        return callable(value)
    if value.later:
        return not isinstance(result, type) or issubclass(value.kind, result)
    return any("__call__" in vars(base) for base in value.kind.__mro__)


def _is_instance(value: Any, kind: type) -> bool:
    try:
        return issubclass(value.kind, kind) and not value.later if isinstance(value, Part) else isinstance(value, kind)
    except TypeError:  # a protocol that is not checked when the program runs
        return True


def _describe(hint: Any) -> str:
    """Say what a value must be: `a whole number`, `one of instance, batch`, `null`, `a list of 2`."""
    hint = _strip(hint)
    kind, members = get_origin(hint) or hint, get_args(hint)
    if kind is Literal:
        return f"one of {', '.join(map(str, members))}" if len(members) > 1 else str(members[0])
    if kind in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_describe, members)))
    if kind in _LISTS:
        return f"a list of {len(members)}" if kind is tuple and members and ... not in members else "a list"
    if kind in _MAPPINGS or is_typeddict(hint):
        return "a mapping of names to values"
    return _WORDS.get(NoneType if kind is None else kind) or f"{{_target_: …}} of a {_name(hint)}"


def _name(hint: Any) -> str:
    """Return the name of what is to be built."""
    result = get_args(hint)[-1] if get_args(hint) else hint
    return getattr(result, "__name__", "part that can be called")
