"""Contrastive losses on patches: what is at a place in the translation should be known by what was there before.

All take N×P×D features of P patches per image, of unit length: `query` of the translation, `key` of the input, patch
by patch at the same places. Keys get no gradient.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from diptych.arguments import Count, Positive
from diptych.errors import UserError
from diptych.losses.precision import in_float32

_EXCLUDED = -10.0  # the similarity of a patch with itself as a negative, before the temperature (Park 2020's code)


class Negatives(ABC):
    """How much each negative counts: log weights, N×P×P, for query p (rows) against key q (columns)."""

    @abstractmethod
    def weigh(self, query: Tensor, key: Tensor) -> Tensor | None:
        """Return the logarithms of the weights, without a gradient; None where all weigh one."""


class Equal(Negatives):
    """Every other patch counts the same (Park 2020, equation 4)."""

    def weigh(self, query: Tensor, key: Tensor) -> None:
        return None


class Transport(Negatives):
    """MoNCE: weights from optimal transport between queries and keys (Zhan et al. 2022, equations 6 to 9).

    `hard` weights similar patches up, for unpaired data; `easy` down. A query's weights sum to its number of negatives.
    """

    def __init__(self, hard: bool = True, temperature: Positive = 1.0, iterations: Count = 50) -> None:
        if temperature <= 0 or iterations < 1:
            raise UserError("Transport: temperature must be above 0 and iterations at least 1")
        self.hard, self.temperature, self.iterations = hard, temperature, iterations

    @torch.no_grad()
    def weigh(self, query: Tensor, key: Tensor) -> Tensor:
        similarity = query @ key.transpose(1, 2)
        affinity = _exclude_itself(similarity if self.hard else 1 - similarity) / self.temperature
        patches = affinity.shape[1]
        rows = columns = affinity.new_zeros(affinity.shape[:2])
        for _ in range(self.iterations):  # Sinkhorn, in logarithms
            rows = -torch.logsumexp(affinity + columns[:, None, :], dim=2)
            columns = -torch.logsumexp(affinity + rows[:, :, None], dim=1)
        return affinity + rows[:, :, None] + columns[:, None, :] + math.log(max(patches - 1, 1))


class Contrastive(ABC):
    """A loss of queries against keys."""

    @abstractmethod
    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the mean over all patches."""


class PatchNCE(Contrastive):
    """The multilayer, patchwise contrastive loss (Park et al. 2020, equations 3 and 4) of one layer's patches.

    `whole_batch` takes the patches of all images for negatives, as single-image translation does.
    """

    def __init__(
        self, temperature: Positive = 0.07, negatives: Negatives | None = None, whole_batch: bool = False
    ) -> None:
        _check_temperature("PatchNCE", temperature)
        self.temperature = temperature
        self.negatives = negatives or Equal()
        self.whole_batch = whole_batch
        self.averages_images = not whole_batch

    def per_patch(self, query: Tensor, key: Tensor) -> Tensor:
        """Return -log of the softmax probability of the right patch, N×P."""
        shape = query.shape[:2]
        if self.whole_batch:
            query, key = (x.reshape(1, -1, x.shape[-1]) for x in (query, key))
        key = key.detach()
        positive = (query * key).sum(-1, keepdim=True) / self.temperature
        negative = _exclude_itself(query @ key.transpose(1, 2)) / self.temperature
        weights = self.negatives.weigh(query, key)
        if weights is not None:
            negative = negative + weights
        losses = torch.logsumexp(torch.cat((positive, negative), dim=2), dim=2) - positive[..., 0]
        return losses.view(shape)

    @in_float32
    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        return self.per_patch(query, key).mean()


class HardDecoupled(Contrastive):
    """hDCE: the positive leaves the denominator, and negatives count by how alike the inputs' patches are.

    Jung et al. 2022, section 3.2. `hardness` γ: the lower, the more the hardest negatives count. The loss is the mean
    over patches of log Σ exp((negative - positive)/τ), whose gradient is the published code's.
    """

    def __init__(self, temperature: Positive = 0.07, hardness: Positive = 1.0) -> None:
        _check_temperature("HardDecoupled", temperature)
        _check_temperature("HardDecoupled", hardness, "hardness")
        self.temperature, self.hardness = temperature, hardness

    @in_float32
    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        key = key.detach()
        relation = (_exclude_itself(key @ key.transpose(1, 2)) / self.hardness).softmax(dim=2)
        weights = relation / relation.amax(dim=2, keepdim=True)
        positive = (query * key).sum(-1, keepdim=True)
        negative = _exclude_itself(query @ key.transpose(1, 2) * weights)
        return torch.logsumexp((negative - positive) / self.temperature, dim=2).mean()


class SemanticRelation(Contrastive):
    """SRC: patches of the translation should relate to each other as those of the input did (Jung 2022, equation 4).

    The Jensen–Shannon divergence of both distributions of similarity, in nats, summed over an image's patches as in the
    published code (so that its weight there, 1, carries over) and averaged over images.
    """

    @in_float32
    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        key = key.detach()
        ours, theirs = ((x @ x.transpose(1, 2)).log_softmax(dim=2) for x in (query, key))
        middle = torch.logaddexp(ours, theirs) - math.log(2)
        divergences = [(one.exp() * (one - middle)).sum(dim=2) for one in (ours, theirs)]
        return 0.5 * (divergences[0] + divergences[1]).sum(dim=1).mean()


def _exclude_itself(similarity: Tensor) -> Tensor:
    """Return N×P×P similarities with the diagonal so low that it hardly counts."""
    patches = similarity.shape[-1]
    return similarity.masked_fill(torch.eye(patches, dtype=torch.bool, device=similarity.device), _EXCLUDED)


def _check_temperature(owner: str, value: float, name: str = "temperature") -> None:
    if value <= 0:
        raise UserError(f"{owner}.{name} = {value} must be above 0")
