"""Inference: a translator applied to files, and measured on folders."""

from diptych.inference.controls import Controls
from diptych.inference.device import choose_device
from diptych.inference.engines import ENGINES, PRECISIONS, Engine, choose_engine, export
from diptych.inference.evaluation import evaluate_on_folder
from diptych.inference.folders import Job, list_sources, plan, translate_files
from diptych.inference.masks import Masks
from diptych.inference.similarity import compare_styles
from diptych.inference.stylizing import StyleFile, Stylizer, make_gatys, paint_grid

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Controls",
    "Engine",
    "Job",
    "Masks",
    "StyleFile",
    "Stylizer",
    "choose_device",
    "choose_engine",
    "compare_styles",
    "evaluate_on_folder",
    "export",
    "list_sources",
    "make_gatys",
    "paint_grid",
    "plan",
    "translate_files",
]
