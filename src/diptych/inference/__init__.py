"""Inference: a translator applied to files, and measured on folders."""

from diptych.inference.device import choose_device
from diptych.inference.evaluation import evaluate_on_folder
from diptych.inference.folders import Job, plan, translate_files

__all__ = ["Job", "choose_device", "evaluate_on_folder", "plan", "translate_files"]
