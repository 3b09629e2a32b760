"""The end of a run: translators exported, evaluated, and the next command to type."""

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from diptych.arguments import FilePath, Label
from diptych.callbacks.ema import find_translators
from diptych.callbacks.evaluate import CHOSEN, find_best
from diptych.callbacks.notes import find_data, make_notes
from diptych.files import write_text
from diptych.methods import Method
from diptych.metrics import DEFAULT, TRANSLATED, Evaluation, Metric, evaluate, make_metrics, make_table
from diptych.metrics.record import make_record
from diptych.terminal import say, show, show_status
from diptych.training.looking import looking
from diptych.training.objective import METRICS_FILE
from diptych.training.resume import FINISHED
from diptych.translators import NetworkTranslator, load_translator
from diptych.translators.variants import make_source


class Finish(Callback):
    """Writes `translators/*.safetensors`, `metrics.json`, and at last `finished` with the iteration.

    Loggers get the scores too, as `metric/NAME_DIRECTION`. `metrics` by their names; without any the default ones.
    """

    def __init__(
        self,
        run_dir: FilePath,
        experiment: Label,
        evaluation: bool = True,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.experiment = experiment
        self.evaluation = evaluation
        self.metrics = make_metrics(DEFAULT) if metrics is None else list(metrics.values())
        self.scores: dict[str, Evaluation] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let a checkpoint carry the same notes as the bundles made from it."""
        assert isinstance(pl_module, Method)
        checkpoint.setdefault("diptych", {})["notes"] = {
            d: make_notes(trainer, pl_module, d, self.experiment) for d in pl_module.translators
        }

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export, evaluate, and say what to do next."""
        assert isinstance(pl_module, Method)
        if not trainer.is_global_zero:
            return
        translators = find_translators(trainer, pl_module)
        paths = {}
        for direction, translator in translators.items():
            paths[direction] = self.run_dir / "translators" / f"{direction}.safetensors"
            translator.notes = make_notes(trainer, pl_module, direction, self.experiment)
            translator.save(paths[direction])
            data = trainer.datamodule  # type: ignore[attr-defined]
            if self.evaluation and all(data.test_paths.values()):
                with looking(pl_module):
                    self._evaluate(trainer, translators, direction)
        if self.scores:
            records = {direction: make_record(scores) for direction, scores in self.scores.items()}
            write_text(self.run_dir / METRICS_FILE, json.dumps(records, indent=2) + "\n")
            values = {
                f"metric/{name}_{direction}": score.value
                for direction, scores in self.scores.items()
                for name, score in scores.columns[TRANSLATED].items()
                if math.isfinite(score.value)
            }
            for logger in trainer.loggers:
                logger.log_metrics(values, pl_module.images_seen)
        write_text(self.run_dir / FINISHED, f"{pl_module.iteration}\n")
        direction, path = next(iter(paths.items()))
        self._say_next(translators[direction], path)

    def _evaluate(self, trainer: Trainer, translators: Mapping[str, NetworkTranslator], direction: str) -> None:
        """Measure what the run ends with, and what was the best on validation images beside it."""
        translator, back = translators[direction], translators.get(direction[::-1])
        with show_status(f"evaluating {translator.title}"):
            known = next((scores.classifier for scores in self.scores.values()), None)
            sources = {TRANSLATED: make_source(translator, back)}
            if (best := find_best(self.run_dir, direction)).exists():
                sources[CHOSEN] = make_source(load_translator(best), back)
            data = find_data(trainer, direction)
            scores = evaluate(sources, data, self.metrics, known and known.swap())
        self.scores[direction] = scores
        show(make_table(scores, translator.title))

    def _say_next(self, translator: NetworkTranslator, path: Path) -> None:
        """Print where things are and the command that applies them."""
        say(f"Pictures: {self.run_dir / 'samples' / 'final.png'}")
        words = ["stylize", "YOUR_IMAGES", "--style", "AN_IMAGE"]
        command = ["diptych", *(words if "image" in translator.style_sources else ["translate", "YOUR_IMAGES"])]
        command += ["--translator", str(path), "--out", "translated"]
        say(f"Next: {shlex.join(command)}")
