"""What is said on the command line: paths with whatever a path may hold, and parts that were null."""

import re

_PATHS = {f"data.{key}" for key in ("root", "path_a", "path_b", "test_path_a", "test_path_b", "cache_dir", "download")}
_PATHS |= {"run_dir", "resume"}
_FILES = {f"{part}{role}.pretrained" for part in ("", "method.") for role in ("generator", "discriminator")}
"""Keys that hold a path, or several by name in braces."""


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
