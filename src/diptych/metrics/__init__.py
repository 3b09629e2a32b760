"""Metrics: what a translator scores, each known by a name."""

from diptych.metrics.domain_classifier import DomainClassifier, train_classifier
from diptych.metrics.evaluation import (
    TRANSLATED,
    Evaluation,
    Scores,
    evaluate,
    find_available,
    list_scores,
)
from diptych.metrics.evaluation_data import Chunk, EvaluationData, Source
from diptych.metrics.metric import RGB, Batch, ImageMetric, Metric, Need, Score
from diptych.metrics.protocol import PROTOCOLS, Protocol, choose_metrics, find_protocol
from diptych.metrics.registry import DEFAULT, list_metrics, make_metrics
from diptych.metrics.table import make_table

__all__ = [
    "DEFAULT",
    "PROTOCOLS",
    "RGB",
    "TRANSLATED",
    "Batch",
    "Chunk",
    "DomainClassifier",
    "Evaluation",
    "EvaluationData",
    "ImageMetric",
    "Metric",
    "Need",
    "Protocol",
    "Score",
    "Scores",
    "Source",
    "choose_metrics",
    "evaluate",
    "find_available",
    "find_protocol",
    "list_metrics",
    "list_scores",
    "make_metrics",
    "make_table",
    "train_classifier",
]
