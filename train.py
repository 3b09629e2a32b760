"""Compose a recipe and train it: `python train.py experiment=monet2photo`; `--help` explains the rest."""

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come up to here, where they become one line

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl as Loader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diptych.training.composition import checked
from diptych.training.explain import discarded_if_refused, explained_errors
from diptych.training.overrides import list_choices, name_job, prepare
from diptych.training.sweep import Sweep

CONF, sweep = str(Path(__file__).resolve().parent / "conf"), Sweep()


def call_late(module: str, name: str, *arguments: Any) -> Any:
    """Call a function of a module of `training`, imported only now: help must not wait for torch."""
    return getattr(import_module(f"diptych.training.{module}"), name)(*arguments)


def compose_chosen() -> Any:
    """Return the configuration of the chosen parts, unchanged, in which the key may be that somebody meant."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train", list_choices(sys.argv[1:], Path(CONF))))


Loader.load_configuration = checked(Loader.load_configuration, CONF, OmegaConf.to_container)  # type: ignore[method-assign]
for word in ("choose_precision", "is_wandb_offline", "name_wandb_run"):
    OmegaConf.register_new_resolver(word, partial(call_late, "machine", word), replace=True)
OmegaConf.register_new_resolver("name_job", lambda overrides: name_job(overrides, sys.argv[1:]), replace=True)
explained = partial(explained_errors, (HydraException, OmegaConfBaseException), compose_chosen)


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> None:
    """Train what the recipe names; callbacks evaluate and export."""
    folder, swept = HydraConfig.get().runtime.output_dir, str(HydraConfig.get().mode) == "RunMode.MULTIRUN"
    with sweep.job(folder, swept) as run, explained(), discarded_if_refused(folder):
        job = call_late("job", "find_job", swept)
        with job.joined():
            config.run_dir = job.share("run_dir", folder)
            recipe, raw = (OmegaConf.to_container(config, resolve=resolve) for resolve in (True, False))
            run.metric = call_late("run", "train", recipe, raw, OmegaConf.to_yaml(config), job)


if __name__ == "__main__":
    with explained():
        sys.argv[1:] = prepare(sys.argv[1:])
        sys.exit(main() or sweep.finish())
