"""What is said on the command line: paths, choices from groups, and what is swept."""

import re
from argparse import ArgumentParser
from hashlib import sha256
from pathlib import Path
from typing import Any

from diptych.arguments import FilePath, find_problem
from diptych.errors import UserError

_SWEPT = re.compile(
    r"^(?:[^\[{'\"]|\[.*?\]|\{.*?\}|'.*?'|\".*?\")*?,|^(?:choice|glob|interval|range|shuffle|sort|tag)\("
)
"""What is said of a key that takes several values: a comma outside brackets and quotes, or one of Hydra's functions."""
_LONGEST = 80  # letters of a job's folder
_PATHS = {f"data.{key}" for key in ("root", "path_a", "path_b", "test_path_a", "test_path_b", "cache_dir", "download")}
_PATHS |= {"run_dir", "resume"}
_FILES = {f"{part}{role}.pretrained" for part in ("", "method.") for role in ("generator", "discriminator")}
"""Keys that hold a path, or several by name in braces."""
_NO_CHOICE = re.compile("(callbacks|data|discriminator|experiment|generator|logger|method|trainer)=(null)?")


def prepare(arguments: list[str], parser: ArgumentParser | None = None) -> list[str]:
    """Quote the values that are paths, so that the grammar of overrides sees no meaning in é, =, commas or brackets.

    A `_target_` may be said of a part that is null or not there yet, as if with pluses before it; a group without a
    choice (`logger=null`) is left out. Options go behind the overrides, where Hydra's `parser` is given.
    """
    arguments = _put_options_last(arguments, parser) if parser else arguments
    sweeps = bool({"-m", "--multirun"} & set(arguments))
    words = [re.sub(r"^\+?([\w.]+\._target_=)", r"++\1", argument) for argument in arguments]
    words = [f"~{group[1]}" if (group := _NO_CHOICE.fullmatch(word)) else word for word in words]
    return [quote(word) if not (sweeps and "," in word) else word for word in words]


def _put_options_last(arguments: list[str], parser: ArgumentParser) -> list[str]:
    """Return the arguments with options behind the overrides, whose parser takes them in two blocks only.

    `UserError` where the parser does not know one, or where it would read a pickle, which may execute anything.
    """

    def refuse(message: str) -> None:
        raise UserError(f"{message}; --help says what there is")

    parser.error = refuse  # type: ignore[method-assign, assignment]
    said = parser.parse_intermixed_args(arguments)
    if said.experimental_rerun is not None:
        raise UserError("--experimental-rerun is not allowed: a pickle may execute anything")
    options = list(arguments)
    for word in said.overrides:
        options.remove(word)
    return [*said.overrides, *options]


def list_choices(arguments: list[str], folder: Path) -> list[str]:
    """Return those of the overrides that choose from a group, a folder of recipes' parts."""
    choices = (re.fullmatch(r"\+?(\w+)=(\[.*\]|[^,]*)", argument) for argument in arguments)
    return [choice[0] for choice in choices if choice and (folder / choice[1]).is_dir()]


def find_run(run_dir: Any, own: list[str], arguments: list[str]) -> Path:
    """Return the absolute path of a run's folder, which for a job of a sweep lies in `run_dir`, named by its `own`."""
    if problem := find_problem("run_dir", run_dir, FilePath):
        raise UserError(problem)
    return Path(run_dir, name_job(own, arguments) if own else "").absolute()


def name_job(overrides: list[str], arguments: list[str]) -> str:
    """Return a folder's name for a job of a sweep: those of its overrides that the command line does not fix.

    What no file system likes becomes a dash; names that are changed or cut end in a few letters of a hash, so that no
    two are the same.
    """
    fixed = {key for key, _, value in (word.partition("=") for word in arguments) if not _SWEPT.search(value)}
    own = [word for word in overrides if word.partition("=")[0] not in fixed] or overrides
    parts = [(key.lstrip("+").rpartition(".")[2], value) for key, _, value in (word.partition("=") for word in own)]
    text = ",".join(f"{key}={value}" for key, value in parts)
    name = re.sub(r"[^\w.,=+-]+", "-", text)[:_LONGEST]
    alike = len({key for key, _ in parts}) < len(parts)
    return name if name == text and not alike else f"{name}-{sha256(','.join(own).encode()).hexdigest()[:6]}"


def quote(argument: str) -> str:
    """Return `key='value'` where the key's value is a path, not null, quoted or an interpolation."""
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    is_path = name in _PATHS or (name in _FILES and not value.startswith("{"))
    if not is_path or value in ("", "null") or value[0] in "'\"" or "${" in value:
        return argument
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"{key}{equals}'{escaped}'"
