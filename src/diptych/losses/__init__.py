"""Losses: small, unweighted, each as its paper writes it."""

from diptych.losses.adversarial import Adversarial, CrossEntropy, Hinge, LeastSquares, NonSaturating, Wasserstein
from diptych.losses.consistency import LowResolution
from diptych.losses.penalties import R1, GradientPenalty, Penalty

__all__ = [
    "R1",
    "Adversarial",
    "CrossEntropy",
    "GradientPenalty",
    "Hinge",
    "LeastSquares",
    "LowResolution",
    "NonSaturating",
    "Penalty",
    "Wasserstein",
]
