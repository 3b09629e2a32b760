"""Callbacks: what happens around a method while it learns."""

from diptych.callbacks.alarms import Alarms
from diptych.callbacks.checkpoint import LastCheckpoint
from diptych.callbacks.clean_stop import CleanStop
from diptych.callbacks.data_report import DataReport
from diptych.callbacks.ema import EMA, find_translators
from diptych.callbacks.evaluate import Evaluate
from diptych.callbacks.finish import Finish
from diptych.callbacks.guard import FiniteGuard
from diptych.callbacks.memory import MemoryReport
from diptych.callbacks.metrics_file import MetricsFile
from diptych.callbacks.progress import RunProgress
from diptych.callbacks.samples import Samples
from diptych.callbacks.wandb_run import WandbRun

__all__ = [
    "EMA",
    "Alarms",
    "CleanStop",
    "DataReport",
    "Evaluate",
    "Finish",
    "FiniteGuard",
    "LastCheckpoint",
    "MemoryReport",
    "MetricsFile",
    "RunProgress",
    "Samples",
    "WandbRun",
    "find_translators",
]
