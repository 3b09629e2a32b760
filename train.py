"""Compose a recipe and train it: `python train.py experiment=monet2photo`; `--help` explains the rest."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come up to here, where they become one line

from diptych.signals import stop_at_once, take_signals

if __name__ == "__main__":
    take_signals(stop_at_once)

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diptych.training.explain import explained_errors
from diptych.training.late import call_late
from diptych.training.recall import recall_recipe
from diptych.training.recipe import quote_paths

CONF = str(Path(__file__).resolve().parent / "conf")
for word in ("choose_precision", "is_wandb_offline", "name_wandb_run"):
    OmegaConf.register_new_resolver(word, partial(call_late, "machine", word), replace=True)


def compose_default() -> Any:
    """Return the configuration that nobody has changed, in which the key may be that somebody meant."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train"))


explained = partial(explained_errors, (HydraException, OmegaConfBaseException), compose_default)


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> None:
    """Train what the recipe names; callbacks evaluate and export."""
    with explained():
        folder, mode = HydraConfig.get().runtime.output_dir, HydraConfig.get().mode
        job = call_late("job", "find_job", mode == RunMode.MULTIRUN)
        with job.joined(), call_late("lock", "forgotten_if_unused", folder):
            config.run_dir = job.share("run_dir", folder)
            config.name = config.name  # it may name what was chosen, which the file in the run folder does not say
            recipe, text = OmegaConf.to_container(config, resolve=True), OmegaConf.to_yaml(config)
            call_late("run", "train", recipe, text, hydra.utils.instantiate, job)


if __name__ == "__main__":
    with explained():
        sys.argv[1:] = quote_paths(recall_recipe(sys.argv[1:], Path(CONF), OmegaConf.load))
        main()
