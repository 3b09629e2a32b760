"""A user's mistake in one line and an exit code; what is our mistake keeps its traceback."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from diptych.arguments import suggest
from diptych.errors import UserError
from diptych.terminal import complain, explained_output

Keys = Callable[[], Any]
"""Gives the configuration that a mistyped key is looked for in."""


@contextmanager
def explained_errors(configuration: tuple[type[Exception], ...], keys: Keys) -> Iterator[None]:
    """Print one line and exit where an error is a user's; `configuration` are the classes of those in a recipe."""
    try:
        with explained_output():
            yield
    except Exception as error:
        mistake = find_mistake(error)
        if mistake is None and not isinstance(error, configuration):
            raise
        complain(f"error: {describe_mistake(mistake) if mistake else _rephrase(error, keys)}")
        sys.exit(mistake.exit_code if mistake else UserError.exit_code)


def find_mistake(error: BaseException) -> UserError | None:
    """Return the user's mistake that is behind an error, if there is one."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    return next((link for link in chain if isinstance(link, UserError)), None)


def describe_mistake(mistake: UserError) -> str:
    """Return the mistake in a line, out of the traceback in which a data loader's worker may have wrapped it."""
    message = str(mistake)
    return message.strip().splitlines()[-1].split("Error: ")[-1] if "Original Traceback" in message else message


def _rephrase(error: BaseException, keys: Keys) -> str:
    """Return a configuration's error in one line, with the nearest key or choice where one was mistyped."""
    message = str(error)
    if override := getattr(error, "override", None):
        name, _, value = override.partition("=")
        return f"{override} cannot be understood; if the value is meant literally, quote it: {name}='\"{value}\"'"
    if not message.strip() and error.__cause__:
        return _rephrase(error.__cause__, keys)
    if choice := re.search(r"Could not (?:find|load) '(?:([^']+)/)?([^'/]+)'", message):
        folders = [Path(folder, choice[1] or ".") for folder in re.findall(r"path=file://(.+)", message)]
        known = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
        return f"there is no {choice[1]}={choice[2]}{suggest(choice[2], known)}; there are {', '.join(known)}"
    key = re.match(r"Could not override '([^']+)'", message)
    if key is None:
        return " ".join(message.split("Config search path")[0].split())
    inner = re.search(r"full_key: (\S+)", str(error.__cause__))
    if inner and inner[1].startswith(f"{key[1]}."):  # names in braces are added to what is there, and must be known
        name = inner[1].rpartition(".")[2]
        return f"{key[1]} has no {name} yet: +{inner[1]}=VALUE adds it, ~{key[1]}.NAME takes one away"
    return f"there is no key {key[1]} in the configuration; {_hint(key[1], list(_list_keys(keys())))}"


def _hint(key: str, known: list[str]) -> str:
    """Return what may be meant by a key that is not there: one of the same part, one of any, or a new one."""
    parent = key.rpartition(".")[0]
    siblings = [name for name in known if name.rpartition(".")[0] == parent]
    close = get_close_matches(key, siblings, n=1) or get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "`python train.py --cfg job` lists all"
    if key.startswith("method.weights."):  # that of a part's term, such as a penalty's, is not there before
        hint += f" +{key}=VALUE adds a weight"
    return hint


def _list_keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every key of the configuration in dotted form."""
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _list_keys(value, f"{prefix}{key}.")
