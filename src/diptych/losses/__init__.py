"""Losses: small, unweighted, each as its paper writes it."""

from diptych.losses.adversarial import (
    Adversarial,
    CrossEntropy,
    Hinge,
    LeastSquares,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from diptych.losses.consistency import LowResolution
from diptych.losses.contrastive import (
    Contrastive,
    Equal,
    HardDecoupled,
    Negatives,
    PatchNCE,
    SemanticRelation,
    Transport,
)
from diptych.losses.penalties import R1, R2, GradientPenalty, Lazy, LeCam, Penalty, R1AndR2, ZeroCentred

__all__ = [
    "R1",
    "R2",
    "Adversarial",
    "Contrastive",
    "CrossEntropy",
    "Equal",
    "GradientPenalty",
    "HardDecoupled",
    "Hinge",
    "Lazy",
    "LeCam",
    "LeastSquares",
    "LowResolution",
    "Negatives",
    "NonSaturating",
    "PatchNCE",
    "Penalty",
    "R1AndR2",
    "Relativistic",
    "SemanticRelation",
    "Transport",
    "Wasserstein",
    "ZeroCentred",
]
