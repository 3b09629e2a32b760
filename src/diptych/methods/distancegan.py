"""One-Sided Unsupervised Domain Mapping.

Sagie Benaim, Lior Wolf. NeurIPS 2017. https://arxiv.org/abs/1706.00826
"""

from typing import Any

import torch
from torch import Tensor

from diptych.methods.gan import GAN
from diptych.methods.player import Images, Terms


class RunningScale:
    """The running mean and deviation of distances, for putting those of two domains on one scale.

    The paper measures both once on the training set; here they follow the batches (`decay` per batch).
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay
        self._moments: Tensor | None = None

    def observe(self, distances: Tensor) -> None:
        """Take N distances in."""
        seen = torch.stack([distances.mean(), distances.square().mean()]).detach()
        self._moments = seen if self._moments is None else self._moments.to(seen).lerp(seen, 1 - self.decay)

    def standardise(self, distances: Tensor) -> Tensor:
        """Return (d - mean) / deviation; the deviation is taken for 1 until distances have varied."""
        assert self._moments is not None
        mean, square = self._moments
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        return (distances - mean) / torch.where(deviation > 1e-4, deviation, torch.ones_like(deviation))

    def state_dict(self) -> dict[str, Any]:
        """Return the moments."""
        return {} if self._moments is None else {"moments": self._moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved moments; `ValueError` where these are not two."""
        moments = state.get("moments")
        if moments is not None and moments.shape != (2,):
            raise ValueError(f"moments of shape {tuple(moments.shape)}, which are two")
        self._moments = moments


class DistanceGAN(GAN):
    """One generator: images as far apart as before should be as far apart when translated.

    Distances are between the images of a batch, or with one image between its halves (section 3.2).
    """

    whole_batch_terms = ("distance",)

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"pool_size": 50, **settings})
        self.scale_a, self.scale_b = RunningScale(), RunningScale()

    def extra_state(self) -> dict[str, Any]:
        return super().extra_state() | {"scale_a": self.scale_a, "scale_b": self.scale_b}

    def generator_terms(self, images: Images) -> Terms:
        """Equation 6 beside the adversarial loss."""
        before, after, target = (measure_distances(images[name]) for name in ("real_a", "fake_b", "real_b"))
        self.scale_a.observe(before)
        self.scale_b.observe(target)
        distance = (self.scale_a.standardise(before) - self.scale_b.standardise(after)).abs().mean()
        return super().generator_terms(images) | {"distance": distance}


def measure_distances(images: Tensor) -> Tensor:
    """Return the mean absolute differences of all pairs of images, or of an only image's left and right halves."""
    if len(images) == 1:
        half = images.shape[-1] // 2
        return (images[..., :half] - images[..., -half:]).abs().mean().reshape(1)
    first, second = torch.triu_indices(len(images), len(images), offset=1, device=images.device)
    return (images[first] - images[second]).abs().mean(dim=(1, 2, 3))
