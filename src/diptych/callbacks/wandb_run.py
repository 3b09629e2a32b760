"""A W&B run's x-axis, and how to upload a run that was recorded offline; W&B itself is only named in YAML."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.terminal import say


class WandbRun(Callback):
    """Sets `images_seen` as the x-axis of every chart; without such a logger it does nothing."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Define the axis."""
        for run in _find_runs(trainer):
            run.define_metric("images_seen")
            run.define_metric("*", step_metric="images_seen")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how to upload what was recorded offline."""
        for run in _find_runs(trainer):
            if getattr(run, "offline", False):
                say(f"W&B, when online: wandb sync {run.settings.sync_dir}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the run, or the next job of a grid would go on in it."""
        for run in _find_runs(trainer):
            run.finish()


def _find_runs(trainer: Trainer) -> list[Any]:
    experiments = [getattr(logger, "experiment", None) for logger in trainer.loggers] if trainer.is_global_zero else []
    return [experiment for experiment in experiments if hasattr(experiment, "define_metric")]
