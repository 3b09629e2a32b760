"""Alarms: what goes wrong in a GAN is measured on the fixed test images, logged, and said once in words."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from diptych.arguments import Amount, Count, FilePath
from diptych.callbacks.csv_file import CsvFile
from diptych.callbacks.ema import find_translators
from diptych.data import UnpairedData
from diptych.methods import Method
from diptych.metrics import Batch, find_available
from diptych.metrics.registry import list_metrics, list_symptoms
from diptych.metrics.symptom import measure_auc
from diptych.terminal import say
from diptych.training.looking import looking
from diptych.translators import NetworkTranslator
from diptych.translators.variants import translate_like


class Alarms(Callback):
    """Measures every `every` batches, and at the run's end, into a CSV file, and says in words what shows.

    While training a symptom is said once, when it is seen twice in a row from batch `start` on, for much passes by
    itself; at the end, when nothing will, every symptom that shows is said.
    """

    def __init__(self, path: FilePath, every: Amount = 500, start: Amount = 1000, count: Count = 12) -> None:
        self.file = CsvFile(Path(path))
        self.every, self.start, self.count = every, start, count
        self.raised: set[str] = set()
        self._suspected: set[str] = set()
        self._latest: tuple[int, dict[str, float]] = (-1, {})
        self.symptoms = list_symptoms()
        self.metrics = [kind() for kind in list_metrics().values() if kind.symptom]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, or take up that of an interrupted run."""
        assert isinstance(pl_module, Method)
        if self.every and trainer.is_global_zero:
            self.file.trim(pl_module.iteration)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measure now and then."""
        assert isinstance(pl_module, Method)
        if not self.every or pl_module.iteration % self.every or not trainer.is_global_zero:
            return
        values = self._record(trainer, pl_module)
        if pl_module.iteration >= self.start:
            self._announce(values)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure what the run ends with, and say all that shows."""
        assert isinstance(pl_module, Method)
        if not self.every or not trainer.is_global_zero:
            return
        iteration, values = self._latest
        if iteration != pl_module.iteration:
            self.file.trim(pl_module.iteration - 1)  # a run stopped while it was evaluated has measured already
            values = self._record(trainer, pl_module)
        for key in sorted(self._find_showing(values)):
            self._say(key, values[key], "at the end")

    def _record(self, trainer: Trainer, method: Method) -> dict[str, float]:
        """Measure, and hand the values to the file and the loggers."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        with looking(method):
            values = self.measure(find_translators(trainer, method), method, data)
        counts = {"iteration": str(method.iteration), "images_seen": str(method.images_seen)}
        self.file.append(counts | {name: f"{value:.6g}" for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics({f"symptoms/{name}": value for name, value in values.items()}, method.images_seen)
        self._latest = method.iteration, values
        return values

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
            found = self._measure_failures(Batch(fakes, inputs, back=translators.get(there + here)), targets)
            if there in discriminators:
                dtype = next(discriminators[there].parameters()).dtype
                logits = [discriminators[there](images.to(dtype)) for images in (targets, fakes)]
                first = [logit if isinstance(logit, Tensor) else logit[0] for logit in logits]
                found["discriminator_auc"] = measure_auc(*first)
            values |= {f"{name}_{direction}": value for name, value in found.items()}
        return values

    def _measure_failures(self, batch: Batch, reals: Tensor) -> dict[str, float]:
        """Return what each metric that shows a failure makes of some outputs and real images, if it can be taken."""
        assert batch.inputs is not None
        available = find_available(False, batch.outputs.shape == batch.inputs.shape, batch.back is not None)
        if batch.outputs.shape[-2:] != batch.inputs.shape[-2:]:
            available.discard("input")
        return {metric.name: metric.measure(batch, reals) for metric in self.metrics if metric.needs <= available}

    def _find_showing(self, values: dict[str, float]) -> set[str]:
        """Return the keys, `name_ab`, of the symptoms that are beyond their thresholds."""
        return {key for key, value in values.items() if self.symptoms[key.rsplit("_", 1)[0]].shows(value)}

    def _announce(self, values: dict[str, float]) -> None:
        """Say what shows for the second time in a row, once."""
        showing = self._find_showing(values)
        for key in sorted(showing & self._suspected - self.raised):
            self._say(key, values[key])
            self.raised.add(key)
        self._suspected = showing

    def _say(self, key: str, value: float, when: str = "") -> None:
        name, direction = key.rsplit("_", 1)
        place = f"{direction}, {when}" if when else direction
        say(f"alarm ({place}): {self.symptoms[name].message} ({name} {value:.3g})")

    def state_dict(self) -> dict[str, Any]:
        """Return what has been said and suspected."""
        return {"raised": sorted(self.raised), "suspected": sorted(self._suspected)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do not say it again."""
        self.raised, self._suspected = set(state_dict["raised"]), set(state_dict["suspected"])
