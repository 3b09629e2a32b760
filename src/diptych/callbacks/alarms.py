"""Alarms: what goes wrong in a GAN is measured on the fixed test images, logged, and said once in words."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from diptych.callbacks.csv_file import CsvFile
from diptych.callbacks.ema import find_translators
from diptych.data import UnpairedData
from diptych.methods import Method
from diptych.metrics import symptoms
from diptych.terminal import say
from diptych.translators import NetworkTranslator
from diptych.translators.variants import translate_like


class Alarms(Callback):
    """Measures every `every` batches into a CSV file; from batch `start` on, a symptom seen twice in a row is said."""

    def __init__(self, path: str, every: int = 500, start: int = 1000, count: int = 12) -> None:
        self.file = CsvFile(Path(path))
        self.every, self.start, self.count = every, start, count
        self.raised: set[str] = set()
        self._suspected: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, or take up that of an interrupted run."""
        assert isinstance(pl_module, Method)
        if self.every and trainer.is_global_zero:
            self.file.trim(pl_module.iteration)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measure every symptom of every direction."""
        assert isinstance(pl_module, Method)
        if not self.every or pl_module.iteration % self.every or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        values = self.measure(find_translators(trainer, pl_module), pl_module, data)
        counts = {"iteration": str(pl_module.iteration), "images_seen": str(pl_module.images_seen)}
        self.file.append(counts | {name: f"{value:.6g}" for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics({f"symptoms/{name}": value for name, value in values.items()}, pl_module.images_seen)
        if pl_module.iteration >= self.start:
            self._announce(values)

    @torch.inference_mode()
    def measure(
        self, translators: dict[str, NetworkTranslator], method: Method, data: UnpairedData
    ) -> dict[str, float]:
        """Return every symptom as a number, keyed `name_ab`."""
        values: dict[str, float] = {}
        discriminators = method.discriminators()
        reals = {domain: data.load(domain, data.sample_paths(domain, self.count)).to(method.device) for domain in "ab"}
        for direction, translator in translators.items():
            here, there = direction[0], direction[1]
            inputs, targets = reals[here], reals[there]
            fakes = translate_like(translator, inputs, targets)
            found = {
                "output_variation": symptoms.measure_variation(fakes, targets),
                "saturation": symptoms.measure_saturation(fakes, targets),
                "luminance_correlation": symptoms.measure_luminance_correlation(fakes, inputs),
                "checkerboard": symptoms.measure_checkerboard(fakes, targets),
            }
            if fakes.shape == inputs.shape:
                found["change"] = symptoms.measure_change(fakes, inputs)
            if there in discriminators:
                dtype = next(discriminators[there].parameters()).dtype
                logits = [discriminators[there](images.to(dtype)) for images in (targets, fakes)]
                first = [logit if isinstance(logit, Tensor) else logit[0] for logit in logits]
                found["discriminator_auc"] = symptoms.measure_auc(*first)
            if there + here in translators:
                back = translators[there + here]
                found["hidden_information"] = symptoms.measure_hidden_information(fakes, inputs, back)
            values |= {f"{name}_{direction}": value for name, value in found.items()}
        return values

    def _announce(self, values: dict[str, float]) -> None:
        """Say what shows for the second time in a row, once."""
        showing = {key for key, value in values.items() if symptoms.SYMPTOMS[key.rsplit("_", 1)[0]].shows(value)}
        for key in sorted(showing & self._suspected - self.raised):
            name, direction = key.rsplit("_", 1)
            say(f"alarm ({direction}): {symptoms.SYMPTOMS[name].message} ({name} {values[key]:.3g})")
            self.raised.add(key)
        self._suspected = showing

    def state_dict(self) -> dict[str, Any]:
        """Return what has been said and suspected."""
        return {"raised": sorted(self.raised), "suspected": sorted(self._suspected)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do not say it again."""
        self.raised, self._suspected = set(state_dict["raised"]), set(state_dict["suspected"])
