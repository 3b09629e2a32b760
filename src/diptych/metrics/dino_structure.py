"""Whether an output has the structure of its input: how alike places within an image are to each other.

Splicing ViT Features for Semantic Appearance Transfer. Tumanyan, Bar-Tal, Bagon, Dekel. 2022.
https://arxiv.org/abs/2201.00424
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.metrics.metric import Batch, ImageMetric
from diptych.metrics.network import get_network
from diptych.metrics.transformer import DINOKeys


def compare_structures(keys: Tensor, others: Tensor) -> Tensor:
    """Return the mean squared differences of the cosine similarities within N×T×d keys and within others, N."""
    return (_relate(keys) - _relate(others)).square().flatten(1).mean(1)


class DINOStructure(ImageMetric):
    """Zero for a copy; papers often show it times 100."""

    name = "dino_structure"
    title = "structure distance to the input (DINO)"
    form = "{:.4f}"
    needs = frozenset({"input"})

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    def describe(self, batch: Batch) -> Tensor:
        assert batch.inputs is not None
        extractor = get_network(DINOKeys, self.weights)
        keys, others = batch.look(extractor), extractor(batch.inputs)
        if keys.shape != others.shape or keys.ndim < 3:  # of images of another shape, or neither grey nor RGB
            return torch.full((len(keys),), math.nan)
        return compare_structures(keys, others)

    def describe_network(self) -> dict[str, str]:
        return get_network(DINOKeys, self.weights).describe()


def _relate(keys: Tensor) -> Tensor:
    keys = F.normalize(keys, dim=-1)
    return keys @ keys.mT
