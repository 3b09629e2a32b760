"""Inference: a translator applied to files, and measured on folders."""

from diptych.inference.controls import Controls
from diptych.inference.device import choose_device
from diptych.inference.engines import ENGINES, PRECISIONS, Engine, choose_engine
from diptych.inference.evaluation import evaluate_on_folder
from diptych.inference.exporting import export
from diptych.inference.folders import Outcome, translate_files
from diptych.inference.masks import Masks
from diptych.inference.planning import Job, list_sources, plan
from diptych.inference.settings import Settings
from diptych.inference.similarity import compare_styles
from diptych.inference.styles import StyleRequest, Styles

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Controls",
    "Engine",
    "Job",
    "Masks",
    "Outcome",
    "Settings",
    "StyleRequest",
    "Styles",
    "choose_device",
    "choose_engine",
    "compare_styles",
    "evaluate_on_folder",
    "export",
    "list_sources",
    "plan",
    "translate_files",
]
