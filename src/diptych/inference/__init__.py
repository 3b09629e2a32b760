"""Inference: a translator applied to files, and measured on folders."""

from diptych.inference.device import choose_device
from diptych.inference.engines import ENGINES, PRECISIONS, Engine, choose_engine, export
from diptych.inference.evaluation import evaluate_on_folder
from diptych.inference.folders import Job, plan, translate_files

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "Job",
    "choose_device",
    "choose_engine",
    "evaluate_on_folder",
    "export",
    "plan",
    "translate_files",
]
