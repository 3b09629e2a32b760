"""Compose a recipe and train it: `python train.py experiment=monet2photo`; `--help` explains the rest."""

import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come up to here, where they become one line
from diptych.signals import stop_at_once, take_signals

if __name__ == "__main__":
    take_signals(stop_at_once)

import hydra.errors
from hydra._internal.config_loader_impl import ConfigLoaderImpl as Loader
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import Container, DictConfig, OmegaConf, errors
from omegaconf.resolvers import oc

from diptych.training.composition import guard
from diptych.training.explain import explained_errors
from diptych.training.late import call_late
from diptych.training.overrides import find_run, list_choices, prepare, quote
from diptych.training.recall import recall_recipe
from diptych.training.sweep import Sweep

CONF, sweep = str(Path(__file__).resolve().parent / "conf"), Sweep()
resolution = guard(Loader, Container, OmegaConf, oc.env)


def compose_chosen() -> object:
    """Return the configuration of the chosen parts, unchanged, in which the key may be that somebody meant."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train", list_choices(sys.argv[1:], Path(CONF))))


explained = partial(explained_errors, (hydra.errors.HydraException, errors.OmegaConfBaseException), compose_chosen)


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> float | None:
    """Train what the recipe names; callbacks evaluate and export. Return the score that is the recipe's objective."""
    swept = str(HydraConfig.get().mode) == "RunMode.MULTIRUN"
    with sweep.job(swept) as run, explained():
        run.folder = find_run(config.run_dir, HydraConfig.get().overrides.task if swept else [], sys.argv[1:])
        sys.argv += [] if swept else [quote(f"run_dir={run.folder}")]  # for processes that Lightning starts
        with call_late("lock", "forgotten_unused", run.folder), (job := call_late("job", "find_job", swept)).joined():
            resolution.refuse_secrets(config, OmegaConf.to_container(config))
            config.name, config.run_dir = config.name, job.share("run_dir", str(run.folder))
            recipe, record = resolution.resolve(config, OmegaConf.to_container(config))
            run.metric = call_late("run", "train", recipe, record, OmegaConf.to_yaml(config), job)
    return run.metric


if __name__ == "__main__":
    with explained():
        sys.argv[1:] = prepare(recall_recipe(sys.argv[1:], Path(CONF), OmegaConf.load), get_args_parser())
        sys.exit(main() or sweep.finish())
