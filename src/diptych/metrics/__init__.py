"""Metrics: what a translator scores."""

from diptych.metrics.evaluation import Evaluation, EvaluationData, evaluate
from diptych.metrics.judge import Judge, train_judge
from diptych.metrics.kernel_distance import kernel_distance
from diptych.metrics.paired import compare
from diptych.metrics.sliced_wasserstein import sliced_wasserstein

__all__ = [
    "Evaluation",
    "EvaluationData",
    "Judge",
    "compare",
    "evaluate",
    "kernel_distance",
    "sliced_wasserstein",
    "train_judge",
]
