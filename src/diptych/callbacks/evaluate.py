"""Metrics while training, on images held out of the training folders; the best translators are kept."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.arguments import Amount, FilePath, Label
from diptych.callbacks.csv_file import CsvFile
from diptych.callbacks.ema import find_translators
from diptych.callbacks.notes import find_data, make_notes
from diptych.data import UnpairedData
from diptych.errors import UserError
from diptych.methods import Method
from diptych.metrics import DEFAULT, TRANSLATED, Metric, evaluate, make_metrics
from diptych.terminal import say
from diptych.training.looking import looking
from diptych.translators import NetworkTranslator
from diptych.translators.variants import make_source

CHOSEN = "chosen on validation"


class Evaluate(Callback):
    """Measures every `every` batches, into `validation.csv` and the loggers; nothing of training depends on it.

    `best` names the metric by which `translators/best_ab.safetensors` is kept, of each direction by itself. Metrics
    that need a classifier are left to the end of the run: it is trained for that.
    """

    def __init__(
        self,
        run_dir: FilePath,
        experiment: Label,
        every: Amount = 0,
        best: Label | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self.folder, self.experiment, self.every, self.best = Path(run_dir), experiment, every, best
        chosen = make_metrics(DEFAULT) if metrics is None else metrics.values()
        self.metrics = [metric for metric in chosen if "classifier" not in metric.needs]
        self.file = CsvFile(self.folder / "validation.csv")
        self.kept: dict[str, float] = {}
        self._spent, self._begun = 0.0, 0.0
        names = [metric.name for metric in self.metrics]
        if every and best is not None and best not in names:
            raise UserError(f"callbacks.evaluate.best = {best} is not measured while training: {', '.join(names)} are")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, or take up that of an interrupted run."""
        assert isinstance(pl_module, Method)
        self._begun = time.monotonic()
        if self._measures(trainer):
            self.file.trim(pl_module.iteration)

    def _measures(self, trainer: Trainer) -> bool:
        data: UnpairedData = trainer.datamodule  # type: ignore[attr-defined]
        return bool(self.every and trainer.is_global_zero and all(data.validation_paths.values()))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measure now and then."""
        assert isinstance(pl_module, Method)
        if self._measures(trainer) and pl_module.iteration % self.every == 0:
            begun = time.monotonic()
            with looking(pl_module):
                self._measure(trainer, pl_module)
            self._spent += time.monotonic() - begun

    def _measure(self, trainer: Trainer, method: Method) -> None:
        translators = find_translators(trainer, method)
        values: dict[str, float] = {}
        for direction, translator in translators.items():
            data = find_data(trainer, direction, validation=True)
            source = make_source(translator, translators.get(direction[::-1]))
            scores = evaluate({TRANSLATED: source}, data, self.metrics, anchors=False, intervals=False)
            found = {name: score.value for name, score in scores.columns[TRANSLATED].items()}
            values |= {f"{name}_{direction}": value for name, value in found.items()}
            if self.best in found:
                self._keep(trainer, method, direction, translator, found[self.best])
        counts = {"iteration": str(method.iteration), "images_seen": str(method.images_seen)}
        self.file.append(counts | {name: f"{value:.6g}" for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics({f"validation/{name}": value for name, value in values.items()}, method.images_seen)

    def _keep(
        self, trainer: Trainer, method: Method, direction: str, translator: NetworkTranslator, value: float
    ) -> None:
        """Keep a translator that is the best so far."""
        metric = next(metric for metric in self.metrics if metric.name == self.best)
        sign = 1 if metric.higher_is_better else -1
        if not sign * value > self.kept.get(direction, -math.inf):
            return
        self.kept[direction] = sign * value
        told = f"{metric.name} {metric.form.format(value)}, {CHOSEN}, iteration {method.iteration}"
        translator.notes = make_notes(trainer, method, direction, self.experiment) | {"chosen": told}
        translator.save(find_best(self.folder, direction))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what measuring has cost."""
        if self._spent:
            share = self._spent / max(time.monotonic() - self._begun, 1e-9)
            say(f"validation: measuring took {self._spent:.0f} s, {share:.1%} of the time")

    def state_dict(self) -> dict[str, Any]:
        """Return the best values so far."""
        return {"kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from them."""
        self.kept = dict(state_dict["kept"])


def find_best(run_dir: Path, direction: str) -> Path:
    """Return where a run keeps the translator that was the best on validation images."""
    return run_dir / "translators" / f"best_{direction}.safetensors"
