"""What a recipe may say: which classes it may name, and paths that hold whatever a path may hold."""

import re
from collections.abc import Iterator
from pydoc import ErrorDuringImport, locate

from diptych.errors import UserError
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
