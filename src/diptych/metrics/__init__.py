"""Metrics: what a translator scores."""

from diptych.metrics.domain_classifier import DomainClassifier, train_classifier
from diptych.metrics.evaluation import Evaluation, EvaluationData, evaluate, list_scores
from diptych.metrics.kid import kid
from diptych.metrics.paired import compare
from diptych.metrics.sliced_wasserstein import sliced_wasserstein

__all__ = [
    "DomainClassifier",
    "Evaluation",
    "EvaluationData",
    "compare",
    "evaluate",
    "kid",
    "list_scores",
    "sliced_wasserstein",
    "train_classifier",
]
