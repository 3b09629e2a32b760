"""What a composed configuration may not have Hydra do: it composes recipes, and neither writes, calls nor imports."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from diptych.errors import UserError
from diptych.training.late import call_late
from diptych.training.resolution import Resolution

SETTINGS = (
    *(f"hydra.{key}=." for key in ("run.dir", "sweep.dir", "sweep.subdir")),
    "hydra.output_subdir=null",
    "hydra.job.chdir=false",
    "hydra/job_logging=stdout",
)
"""What differs here from Hydra's own settings. It makes the folder that it is told before anything is checked: one that
is there already. A run's folder is made by the run, and its log is its own."""
_MOST_NODES = 100_000  # of a YAML file, with what aliases repeat
_FREE = ("help", "hydra_help", "mode", "overrides", "runtime")
_FREE_OF_JOBS = [("job", key) for key in ("name", "override_dirname", "id", "num", "config_name")]


def guard(loader: Any, container: Any, config: Any, look: Callable[..., Any]) -> Resolution:
    """Have Hydra's `loader` and OmegaConf's `container` and `config` go through checks, and `look` at the environment.

    Return what notices how a recipe is resolved.
    """
    resolution = Resolution()
    loader.load_configuration = checked(loader.load_configuration, config.to_container, resolution.begin)
    container.resolve_parse_tree = resolution.bounded(container.resolve_parse_tree)
    config.load = bounding_aliases(config.load)
    config.save = without_sweeps(config.save)
    resolvers: dict[str, Callable[..., Any]] = {
        **{word: partial(call_late, "machine", word) for word in ("choose_precision", "is_wandb_offline")},
        "oc.env": resolution.noticed(look),
        "name_wandb_run": lambda run_dir: "auto",  # of older runs
    }
    for word, resolver in resolvers.items():
        config.register_new_resolver(word, resolver, replace=True)
    return resolution


def checked(load: Callable[..., Any], to_plain: Callable[[Any], Any], begin: Callable[[], None]) -> Callable[..., Any]:
    """Return Hydra's way to compose with its checks: what is called, written or imported by it comes after them.

    `begin` is called before a composition.
    """
    shipped: dict[bool, Mapping[str, Any]] = {}

    def compose(loader: Any, config_name: str | None, overrides: list[str], *rest: Any, **options: Any) -> Any:
        refuse_packages([*(source.path for source in loader.get_search_path().get_path()), *overrides])
        begin()
        ours = config_name is not None  # or Hydra's help is asked for
        try:
            primary = config_name and loader.repository.load_config(config_name)
            refuse_search_path(to_plain(primary.config) if primary else {})
            if ours not in shipped:
                settings = list(SETTINGS) if ours else []
                shipped[ours] = to_plain(load(loader, None, settings, *rest, **options).hydra)
            config = load(loader, config_name, overrides, *rest, **options)
        except UserError:
            raise
        except Exception as error:
            if type(error).__module__.startswith(("hydra.", "omegaconf.")):
                raise  # is explained by its kind
            said = " ".join(str(error).split()) or repr(error)
            said = "it is nested too deeply" if "maximum recursion depth" in said else said
            raise UserError(f"the recipe cannot be composed ({said})") from error
        refuse_hydra_settings(to_plain(config.hydra), shipped[ours])
        return config

    return compose


def bounding_aliases(load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return OmegaConf's way to read a YAML file or its path; `UserError` where aliases make too much of it.

    Each doubles what it repeats, and so on: a few lines become more than memory holds.
    """

    def load_checked(source: Any) -> Any:
        if not hasattr(source, "read"):
            with Path(source).open(encoding="utf-8") as file:
                return load_checked(file)
        text = source.read()
        if "*" in text and _count_nodes(yaml.compose(text), {}) > _MOST_NODES:
            name = getattr(source, "name", "a recipe")
            raise UserError(f"{name}: its YAML aliases (*name) repeat each other too often: write it out")
        source.seek(0)
        return load(source)

    return load_checked


def _count_nodes(node: Any, known: dict[int, float]) -> float:
    """Return how many nodes a composed YAML document has with all that its aliases repeat: endless in a circle."""
    if id(node) not in known:
        known[id(node)] = math.inf  # while its parts are counted: one of which is itself in a circle
        parts = getattr(node, "value", ())
        pairs = parts if isinstance(parts, list) else ()
        inner = [part for pair in pairs for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_count_nodes(part, known) for part in inner)
    return known[id(node)]


def without_sweeps(save: Callable[..., Any]) -> Callable[..., Any]:
    """Return OmegaConf's way to write a file, which leaves out what Hydra writes of a sweep before it is checked."""

    def save_checked(config: Any, place: Any, *rest: Any, **options: Any) -> None:
        if str(place) == "multirun.yaml":
            _ = config.run_dir  # once it is resolved, all jobs have the same time in it
        else:
            save(config, place, *rest, **options)

    return save_checked


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


def refuse_hydra_settings(hydra: Mapping[str, Any], shipped: Mapping[str, Any]) -> None:
    """Raise `UserError` where Hydra's own node, as composed, is not as it is shipped, but for what does nothing.

    Hydra makes folders, opens logs, builds callbacks, launchers and sweepers before a recipe is looked at.
    """
    given, known = dict(_list_leaves(hydra)), dict(_list_leaves(shipped))
    for path in [*given, *known]:
        if not _is_free(path, given.get(path)) and (path not in given or given[path] != known.get(path, ...)):
            hint = "; run_dir=DIR says where a run is written" if path[-1] in ("dir", "subdir") else ""
            raise UserError(
                f"hydra.{'.'.join(path)} is not allowed: a recipe trains, and Hydra does nothing else{hint}"
            )


def _is_free(path: tuple[str, ...], value: Any) -> bool:
    """Whether a setting of Hydra's is only a text that it shows, what it notes itself, or what a sweep goes through."""
    if path[:2] == ("sweeper", "params"):  # go through this module again, as words of a command line
        return value is None or (len(path) == 3 and not isinstance(value, (list, Mapping)) and "${" not in str(value))
    if path == ("verbose",):
        return isinstance(value, bool)
    return path[0] in _FREE or path in _FREE_OF_JOBS


def _list_leaves(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in node.items():
        inner = (*path, str(key))
        if isinstance(value, Mapping) and value:
            yield from _list_leaves(value, inner)
        else:
            yield inner, value
