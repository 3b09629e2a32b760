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
from diptych.losses.augmentation import AdaptiveAugment, DiffAugment, InstanceNoise
from diptych.losses.contrastive import (
    Contrastive,
    Equal,
    HardDecoupled,
    Negatives,
    PatchNCE,
    SemanticRelation,
    Transport,
)
from diptych.losses.images import (
    EdgeConsistency,
    LabHistogram,
    LabMean,
    LowResolution,
    StructuralDissimilarity,
    TotalVariation,
)
from diptych.losses.penalties import R1, R2, GradientPenalty, Lazy, LeCam, Penalty, R1AndR2, ZeroCentred
from diptych.losses.perceptual import Content, GramStyle, Lpips, MomentStyle, Perceptual, SlicedStyle
from diptych.losses.style_transfer import StyleReference, StyleTransferLoss

__all__ = [
    "R1",
    "R2",
    "AdaptiveAugment",
    "Adversarial",
    "Content",
    "Contrastive",
    "CrossEntropy",
    "DiffAugment",
    "EdgeConsistency",
    "Equal",
    "GradientPenalty",
    "GramStyle",
    "HardDecoupled",
    "Hinge",
    "InstanceNoise",
    "LabHistogram",
    "LabMean",
    "Lazy",
    "LeCam",
    "LeastSquares",
    "LowResolution",
    "Lpips",
    "MomentStyle",
    "Negatives",
    "NonSaturating",
    "PatchNCE",
    "Penalty",
    "Perceptual",
    "R1AndR2",
    "Relativistic",
    "SemanticRelation",
    "SlicedStyle",
    "StructuralDissimilarity",
    "StyleReference",
    "StyleTransferLoss",
    "TotalVariation",
    "Transport",
    "Wasserstein",
    "ZeroCentred",
]
