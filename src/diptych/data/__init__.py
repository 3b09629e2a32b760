"""Data: folders of images in two domains, unpaired."""

from diptych.data.domain import Domain
from diptych.data.folders import list_images, require_images
from diptych.data.module import UnpairedData
from diptych.data.preparation import Preparation
from diptych.data.unpaired import EpochBatches, UnpairedImages

__all__ = [
    "Domain",
    "EpochBatches",
    "Preparation",
    "UnpairedData",
    "UnpairedImages",
    "list_images",
    "require_images",
]
