"""Data: folders of images in two domains, unpaired."""

from diptych.data.augmentation import AdaptiveAugment, DiffAugment, InstanceNoise
from diptych.data.domain import Domain
from diptych.data.folders import list_images, require_images
from diptych.data.module import UnpairedData
from diptych.data.preparation import Preparation
from diptych.data.unpaired import EpochBatches, UnpairedImages, seed_generator

__all__ = [
    "AdaptiveAugment",
    "DiffAugment",
    "Domain",
    "EpochBatches",
    "InstanceNoise",
    "Preparation",
    "UnpairedData",
    "UnpairedImages",
    "list_images",
    "require_images",
    "seed_generator",
]
