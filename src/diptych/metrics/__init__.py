"""Metrics: what a translator scores, each known by a name."""

from diptych.metrics.domain_classifier import DomainClassifier, train_classifier
from diptych.metrics.evaluation import (
    TRANSLATED,
    Evaluation,
    EvaluationData,
    Scores,
    Source,
    evaluate,
    find_available,
    list_scores,
)
from diptych.metrics.metric import Batch, ImageMetric, Metric, Need, Score
from diptych.metrics.table import make_table

DEFAULT = (
    "psnr",
    "ssim",
    "l1",
    "copying",
    "swd",
    "kid_classifier",
    "classified_b",
    "classified_neither",
    "roughness",
    "white_tint",
)
"""The metrics that are taken where nobody says which: they need nothing but images."""

__all__ = [
    "DEFAULT",
    "TRANSLATED",
    "Batch",
    "DomainClassifier",
    "Evaluation",
    "EvaluationData",
    "ImageMetric",
    "Metric",
    "Need",
    "Score",
    "Scores",
    "Source",
    "evaluate",
    "find_available",
    "list_scores",
    "make_table",
    "train_classifier",
]
