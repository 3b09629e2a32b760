"""Compose a recipe and train it: `python train.py experiment=monet2photo`; `--help` explains the rest."""

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come up to here, where they become one line

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diptych.errors import UserError
from diptych.training.explain import explained_errors
from diptych.training.recipe import quote_paths, refuse_foreign_targets

CONF = str(Path(__file__).resolve().parent / "conf")
MISTAKES = (HydraException, OmegaConfBaseException)


def resolve_with(name: str) -> Callable[..., Any]:
    """Return a function of `training.machine` that is imported when it is called: help must not wait for torch."""
    return lambda *arguments: getattr(import_module("diptych.training.machine"), name)(*arguments)


for word in ("choose_precision", "is_wandb_offline", "name_wandb_run"):
    OmegaConf.register_new_resolver(word, resolve_with(word), replace=True)


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> None:
    """Train what the recipe names; callbacks evaluate and export."""
    with explained_errors(MISTAKES, compose_default):
        config.run_dir = HydraConfig.get().runtime.output_dir
        if HydraConfig.get().mode == RunMode.MULTIRUN and config.trainer.get("strategy"):
            raise UserError("-m with trainer=ddp: every process would start the whole sweep again; run the jobs singly")
        refuse_foreign_targets(OmegaConf.to_container(config, resolve=False))

        def make(part: str, **settings: Any) -> Any:
            return hydra.utils.instantiate(config[part], **settings, _convert_="all")

        recipe: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        import_module("diptych.training.run").train(recipe, OmegaConf.to_yaml(config), make)


def compose_default() -> Mapping[str, Any]:
    """Return the configuration that nobody has changed, in which the key may be that somebody meant."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train"))  # type: ignore[return-value]


if __name__ == "__main__":
    with explained_errors(MISTAKES, compose_default):
        sys.argv[1:] = quote_paths(sys.argv[1:])
        main()
