"""Compose a recipe and train it: `python train.py experiment=monet2photo`; `--help` explains the rest."""

import os
import sys
from pathlib import Path

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come up to here, where they become one line

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import seed_everything

from diptych.callbacks.machine import choose_precision, is_wandb_offline
from diptych.errors import FileError, UserError

OmegaConf.register_new_resolver("lightning_precision", choose_precision, replace=True)
OmegaConf.register_new_resolver("wandb_offline", is_wandb_offline, replace=True)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    """Build what the recipe names, the data first, and fit; callbacks evaluate and export."""
    hydra_config = HydraConfig.get()
    config.run_dir = hydra_config.runtime.output_dir
    if hydra_config.mode == RunMode.MULTIRUN and config.trainer.get("strategy"):
        raise UserError(
            "-m cannot be combined with trainer=ddp: every process would start the whole sweep again; "
            "run the jobs one by one"
        )
    seed_everything(config.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")
    data = instantiate(config.data, _convert_="all")
    method = instantiate(config.method, _convert_="all")
    parts = {kind: list(instantiate(config[kind], _convert_="all").values()) for kind in ("callbacks", "logger")}
    trainer = instantiate(config.trainer, max_epochs=method.schedule.total_epochs, **parts, _convert_="all")
    if trainer.is_global_zero:
        save_config(config)
        for logger in trainer.loggers:
            logger.log_hyperparams(OmegaConf.to_container(config))
    trainer.fit(method, data, ckpt_path=find_checkpoint(config), weights_only=True)


def save_config(config: DictConfig) -> None:
    """Write the composed recipe into the run folder."""
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))


def find_checkpoint(config: DictConfig) -> str | None:
    """Return the checkpoint to go on from: `resume` names it, or `auto` takes the run folder's own, if any."""
    if config.resume is None:
        return None
    path = Path(config.run_dir, "checkpoints", "last.ckpt") if config.resume == "auto" else Path(config.resume)
    if path.is_file():
        return str(path)
    if config.resume == "auto":
        return None
    raise FileError(f"{path}: no such checkpoint (resume)")


def explain(error: BaseException) -> tuple[str, int] | None:
    """Return one line and an exit code for a mistake of the user's, None for one of ours."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    for link in chain:
        if isinstance(link, UserError):
            return str(link), link.exit_code
    if isinstance(error, HydraException | OmegaConfBaseException):
        return " ".join(str(error).split("\n")), UserError.exit_code
    return None


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        print(f"error: {explained[0]}", file=sys.stderr)
        sys.exit(explained[1])
