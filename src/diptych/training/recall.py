"""The recipe of a run that is gone on with: what its folder's `config.yaml` says."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diptych.errors import FileError, name_reason
from diptych.training.composition import SETTINGS


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
    _require_recipe(path, load)
    changes = [f"+{argument}" if argument[0] == "+" else argument for argument in arguments]  # added, or there already
    return ["--config-path", str(path.parent), "--config-name", path.stem, *changes, *SETTINGS]


def _require_recipe(path: Path, load: Callable[[Path], Any]) -> None:
    """Raise `FileError` unless the file is a recipe as it is written into a run folder, and only that."""
    try:
        recipe = load(path)
    except Exception as error:  # whatever a YAML reader raises
        raise FileError(f"{path}: damaged ({name_reason(error)}); name the run's recipe, as in experiment=") from None
    if not isinstance(recipe, Mapping) or "method" not in recipe:
        raise FileError(f"{path}: not the recipe of a run; name it, as in experiment=")
    if said := {"hydra", "defaults"} & set(recipe):
        raise FileError(f"{path}: {said.pop()} has no place in the recipe of a run")
