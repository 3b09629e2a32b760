"""What is said of a run's translators, and what they are measured on."""

from typing import Any

from pytorch_lightning import Trainer

from diptych.data import UnpairedData
from diptych.methods import Method
from diptych.metrics import EvaluationData


def make_notes(trainer: Trainer, method: Method, direction: str, experiment: str) -> dict[str, Any]:
    """Return what a translator's file says beside its network."""
    here, there = tuple(direction)
    data: UnpairedData = trainer.datamodule  # type: ignore[attr-defined]
    return {
        "direction": direction,
        "from": data.names[here],
        "to": data.names[there],
        "experiment": experiment,
        "method": type(method).__name__,
        "size": data.preparation.crop_size,
        "load_size": data.preparation.load_size,
        "preset": data.preparation.preset,
        "input": data.forms[here].describe(),
        "output": data.forms[there].describe(),
        "iteration": method.iteration,
        "images_seen": method.images_seen,
    }


def find_data(trainer: Trainer, direction: str, validation: bool = False) -> EvaluationData:
    """Return the run's test images, or those held out for validation, in the roles that the direction gives them."""
    here, there = tuple(direction)
    data: UnpairedData = trainer.datamodule  # type: ignore[attr-defined]
    test = data.validation_paths if validation else data.test_paths
    train: dict[str, Any] = {} if validation else {"a": data.train_paths[here], "b": data.train_paths[there]}
    return EvaluationData(
        train=train,
        test={"a": test[here], "b": test[there]},
        load=lambda role, paths: data.load(here if role == "a" else there, paths),
        names={"a": data.names[here], "b": data.names[there]},
    )
