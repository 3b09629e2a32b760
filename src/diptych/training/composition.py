"""What a composed configuration may not have Hydra do, and what of it may not be kept."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from diptych.errors import UserError

_KNOWN = ("${hydra.runtime.output_dir}/${hydra.job.name}.log", "ext://sys.stdout", "ext://sys.stderr")
"""What Hydra's own logging says of files and streams."""
_TARGETS = {
    "launcher": "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "sweeper": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
}
_LOGGING = {f"logging.{name}" for name in ("FileHandler", "Formatter", "NullHandler", "StreamHandler")}


def checked(load: Callable[..., Any], to_plain: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return Hydra's way to compose with its checks: what is called or imported of a configuration comes after them."""

    def compose(loader: Any, config_name: str | None, overrides: list[str], *rest: Any, **options: Any) -> Any:
        refuse_packages([*(source.path for source in loader.get_search_path().get_path()), *overrides])
        try:
            primary = config_name and loader.repository.load_config(config_name)
            refuse_search_path(to_plain(primary.config) if primary else {})
            config = load(loader, config_name, overrides, *rest, **options)
        except UserError:
            raise
        except Exception as error:
            if type(error).__module__.startswith(("hydra.", "omegaconf.")):
                raise  # is explained by its kind
            raise UserError(f"the recipe cannot be composed ({' '.join(str(error).split()) or error!r})") from error
        refuse_hydra_settings(to_plain(config.hydra))
        return config

    return compose


def refuse_packages(places: Sequence[str]) -> None:
    """Raise `UserError` where Hydra would read from a package, which it imports for that."""
    for place in places:
        if "pkg://" in place and place != "pkg://hydra.conf":
            raise UserError(f"{place}: recipes are read from folders, not from packages")


def refuse_search_path(primary: Any) -> None:
    """Raise `UserError` where a primary configuration names further places, which Hydra looks at before all else."""
    hydra = primary.get("hydra", {}) if isinstance(primary, Mapping) else {}
    if not isinstance(hydra, Mapping) or "searchpath" in hydra:
        raise UserError("hydra.searchpath is not allowed: --config-dir=FOLDER reads recipes of your own")


def refuse_hydra_settings(hydra: Mapping[str, Any]) -> None:
    """Raise `UserError` where Hydra's own node, as composed, would have it call or import what it does not ship.

    Hydra builds callbacks, launchers, sweepers and log handlers before a recipe is looked at.
    """
    job = hydra["job"]
    further = {"callbacks": hydra["callbacks"], "job.env_set": job["env_set"], "job.env_copy": job["env_copy"]}
    for place, value in further.items():
        if value:
            raise UserError(f"hydra.{place} is not allowed: a recipe trains, and Hydra does nothing else for it")
    for part in ("launcher", "sweeper", "hydra_logging", "job_logging"):
        for path, value in _list_leaves((part,), hydra[part]):
            if not _is_harmless(path, value):
                raise UserError(f"hydra.{'.'.join(path)} = {value} is not allowed: Hydra would call or import it")


def _list_leaves(path: tuple[str, ...], node: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _list_leaves((*path, str(key)), value)
    elif isinstance(node, list):
        for item in node:
            yield from _list_leaves(path, item)
    else:
        yield path, node


def _is_harmless(path: tuple[str, ...], value: Any) -> bool:
    """Whether a setting of Hydra's machinery is plain data, or names a class of its own or of Python's logging."""
    if len(path) == 1:
        return value is None and path[0] in ("hydra_logging", "job_logging")
    if path[1:] == ("_target_",):
        return value == _TARGETS.get(path[0])
    if path[-1] == "class":
        return value in _LOGGING
    if {"()", ".", "_target_"} & set(path):
        return False
    return value in _KNOWN or not any(mark in str(value) for mark in ("${", "://"))


def hide_environment(raw: Mapping[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved configuration in which whatever follows from the environment stays as it is written.

    So a secret that is named in `${oc.env:NAME}`, directly or by way of another key, gets into no file. `UserError`
    where it would by another way: names and domains are written into translators.
    """
    texts = {path: value for path, value in _list_leaves((), raw) if isinstance(value, str) and "${" in value}
    hidden = {path for path, text in texts.items() if re.search(r"env\s*:|}\s*:", text)}  # or a resolver's name is made
    while more := {path for path, text in texts.items() if _mentions(text, hidden)} - hidden:
        hidden |= more
    for path in hidden:
        if path[0] in ("name", "domains") or path[-1] in ("experiment", "domains"):
            raise UserError(f"{'.'.join(path)} = {texts[path]} is written into translators: say it by itself")
    return _keep_texts((), raw, resolved, hidden)


def _mentions(text: str, hidden: set[tuple[str, ...]]) -> bool:
    """Whether an interpolation looks at one of these keys, or at what holds it; `${.key}` is of whatever holds both."""
    words = re.findall(r"[\w.]+", text)
    keys = {".".join(path[: end + 1]) for path in hidden for end in range(len(path))}
    near = {path[-1] for path in hidden}
    return any(word in keys or (word.startswith(".") and word.rpartition(".")[2] in near) for word in words)


def _keep_texts(path: tuple[str, ...], raw: Any, resolved: Any, hidden: set[tuple[str, ...]]) -> Any:
    if path in hidden:
        return raw
    if isinstance(raw, Mapping) and isinstance(resolved, Mapping):
        return {key: _keep_texts((*path, str(key)), raw[key], value, hidden) for key, value in resolved.items()}
    return resolved
