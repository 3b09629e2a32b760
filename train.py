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
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, errors

from diptych.training.composition import checked
from diptych.training.explain import explained_errors
from diptych.training.late import call_late
from diptych.training.overrides import list_choices, name_job, prepare
from diptych.training.recall import recall_recipe
from diptych.training.sweep import Sweep

CONF, sweep = str(Path(__file__).resolve().parent / "conf"), Sweep()
Loader.load_configuration = checked(Loader.load_configuration, OmegaConf.to_container)  # type: ignore[method-assign]
OmegaConf.register_new_resolver("name_job", lambda overrides: name_job(overrides, sys.argv[1:]), replace=True)
for word in ("choose_precision", "is_wandb_offline", "name_wandb_run"):
    OmegaConf.register_new_resolver(word, partial(call_late, "machine", word), replace=True)


def compose_chosen() -> object:
    """Return the configuration of the chosen parts, unchanged, in which the key may be that somebody meant."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train", list_choices(sys.argv[1:], Path(CONF))))


explained = partial(explained_errors, (hydra.errors.HydraException, errors.OmegaConfBaseException), compose_chosen)


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> float | None:
    """Train what the recipe names; callbacks evaluate and export. Return the score that is the recipe's objective."""
    folder, swept = HydraConfig.get().runtime.output_dir, str(HydraConfig.get().mode) == "RunMode.MULTIRUN"
    with sweep.job(folder, swept) as run, explained():
        job = call_late("job", "find_job", swept)
        with job.joined(), call_late("lock", "forgotten_if_unused", folder):
            config.run_dir = job.share("run_dir", folder)
            recipe, raw = (OmegaConf.to_container(config, resolve=resolve) for resolve in (True, False))
            config.name = config.name  # it may name what was chosen, which the file in the run folder does not say
            run.metric = call_late("run", "train", recipe, raw, OmegaConf.to_yaml(config), job)
    return run.metric


if __name__ == "__main__":
    with explained():
        sys.argv[1:] = prepare(recall_recipe(sys.argv[1:], Path(CONF), OmegaConf.load))
        sys.exit(main() or sweep.finish())
