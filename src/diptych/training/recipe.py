"""What a recipe may say: which classes it may name, and paths that hold whatever a path may hold."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from diptych.errors import FileError, UserError, name_reason
from diptych.plugins import list_packages

ALLOWED = ("diptych", "torch.optim", "torch.nn", "torchvision.transforms", "kornia", "pytorch_lightning")
"""Packages whose classes a recipe may name, beside those that offer something by entry points."""

_PATHS = {f"data.{key}" for key in ("root", "path_a", "path_b", "test_path_a", "test_path_b", "cache_dir", "download")}
_PATHS |= {"run_dir", "resume"}
_FILES = {f"{part}{role}.pretrained" for part in ("", "method.") for role in ("generator", "discriminator")}
"""Keys that hold a path, or several by name in braces."""


def refuse_foreign_targets(recipe: object) -> None:
    """Raise `UserError` unless every `_target_` is a class of these packages, under whatever alias."""
    allowed = dict.fromkeys((*ALLOWED, *list_packages()))
    within = tuple(f"{package}." for package in allowed)
    for target in _find_targets(recipe):
        named = target.startswith(within) and _import(target)
        if not (isinstance(named, type) and f"{named.__module__}.".startswith(within)):
            raise UserError(f"_target_: {target} is not allowed in a recipe; a class of {', '.join(allowed)} is")


def _import(target: str) -> object:
    try:
        return locate(target)
    except ErrorDuringImport as error:
        raise UserError(f"_target_: {target} cannot be imported ({error.value!r})") from None


def _find_targets(node: object) -> Iterator[str]:
    """Yield every `_target_` in nested dicts and lists."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_":
                yield str(value)
            else:
                yield from _find_targets(value)
    elif isinstance(node, list):
        for item in node:
            yield from _find_targets(item)


def recall_recipe(arguments: list[str], groups: Path, load: Callable[[Path], Any]) -> list[str]:
    """Let `run_dir=DIR resume=auto` go on by the recipe in DIR/config.yaml, to which other arguments are changes.

    Where a part of `groups` is chosen or taken away, the recipe is composed anew. `load` reads a YAML file.
    """
    pairs = [argument.partition("=") for argument in arguments]
    given = {key: value.strip("'\"") for key, _, value in pairs}
    anew = any(key[:1] in "-~" or (groups / key.lstrip("+").partition("@")[0]).is_dir() for key in given)
    if anew or given.get("resume") != "auto" or not given.get("run_dir"):
        return arguments
    path = Path(given["run_dir"]).absolute() / "config.yaml"
    if not path.is_file():
        if given.keys() > {"run_dir", "resume"}:
            return arguments  # a run that is started and gone on with by one command
        raise FileError(f"{path}: no such file, so there is no run to go on with; to start one, choose an experiment=")
    _check_recalled(path, load)
    changes = ["++" + argument.lstrip("+") for argument in arguments]
    settings = ["hydra.run.dir=${run_dir}", "hydra.output_subdir=null", "hydra/job_logging=stdout"]
    return ["--config-path", str(path.parent), "--config-name", path.stem, *changes, *settings]


def _check_recalled(path: Path, load: Callable[[Path], Any]) -> None:
    """Raise `FileError` unless the file is a recipe as it is written into a run folder, and only that."""
    try:
        recipe = load(path)
    except Exception as error:  # whatever a YAML reader raises
        raise FileError(f"{path}: damaged ({name_reason(error)}); name the run's recipe, as in experiment=") from None
    if not isinstance(recipe, Mapping) or "method" not in recipe:
        raise FileError(f"{path}: not the recipe of a run; name it, as in experiment=")
    if said := {"hydra", "defaults"} & set(recipe):
        raise FileError(f"{path}: {said.pop()} has no place in the recipe of a run")


def quote_paths(arguments: list[str]) -> list[str]:
    """Quote the values that are paths, so that the grammar of overrides sees no meaning in é, =, commas or brackets."""
    sweeps = bool({"-m", "--multirun"} & set(arguments))
    return [_quote(argument) if not (sweeps and "," in argument) else argument for argument in arguments]


def _quote(argument: str) -> str:
    """Return `key='value'` where the key's value is a path, not null, quoted or an interpolation."""
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    is_path = name in _PATHS or (name in _FILES and not value.startswith("{"))
    if not is_path or value in ("", "null") or value[0] in "'\"" or "${" in value:
        return argument
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"{key}{equals}'{escaped}'"
