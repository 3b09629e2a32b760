"""Differentiable Augmentation for Data-Efficient GAN Training.

Shengyu Zhao, Zhijian Liu, Ji Lin, Jun-Yan Zhu, Song Han. NeurIPS 2020. https://arxiv.org/abs/2006.10738
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args

import torch
from kornia.augmentation import RandomErasing
from kornia.geometry.transform import translate
from torch import Tensor

from diptych.arguments import Count, Range, Share
from diptych.errors import UserError

_SHIFT = 0.125  # of the image's sides
_CUT = 0.5  # of the image's sides
Word = Literal["colour", "translation", "cutout"]
POLICIES: tuple[Word, ...] = get_args(Word)


class DiffAugment:
    """Varies what discriminators see, reals and fakes alike, each image by itself, with gradients passing through.

    `colour` changes brightness, saturation and contrast, `translation` moves by up to an eighth of the side, `cutout`
    blanks a square of half the side; what is uncovered becomes mid-grey. Takes and returns N×C×H×W in [-1, 1] (colours
    may leave that range, as published). An image is left alone with probability 1 - `probability`.
    """

    def __init__(self, policy: Sequence[Word] = POLICIES, probability: Share = 1.0) -> None:
        for word in policy:
            if word not in POLICIES:
                raise UserError(f"DiffAugment.policy: {word!r} is not one of {', '.join(POLICIES)}")
        if not 0.0 <= probability <= 1.0:
            raise UserError(f"DiffAugment.probability = {probability} must lie between 0 and 1")
        self.probability = probability
        cut = RandomErasing((_CUT**2, _CUT**2), (1.0, 1.0), value=0.0, p=1.0)
        known: dict[str, Callable[[Tensor], Tensor]] = {"colour": _recolour, "translation": _move, "cutout": cut}
        self._steps = [known[word] for word in policy]

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images varied."""
        varied = images
        for step in self._steps:
            varied = step(varied)
        if self.probability == 1.0:
            return varied
        chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < self.probability
        return torch.where(chosen, varied, images)


def _recolour(images: Tensor) -> Tensor:
    """Brightness ±0.5, saturation ×0…2, contrast ×0.5…1.5 (appendix B of the paper)."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device, dtype=images.dtype)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def _move(images: Tensor) -> Tensor:
    """Shift by whole pixels, so that nothing is blurred."""
    sides = torch.tensor(images.shape[:1:-1], device=images.device, dtype=images.dtype)  # width, height
    reach = (sides * _SHIFT + 0.5).floor()
    shift = (torch.rand(len(images), 2, device=images.device, dtype=images.dtype) * (2 * reach + 1)).floor() - reach
    return translate(images, shift, mode="nearest", padding_mode="zeros", align_corners=True)


class InstanceNoise:
    """Gaussian noise of a fixed deviation on what discriminators see, reals and fakes alike (Sønderby et al. 2017).

    The deviation is in units of the range [-1, 1].
    """

    def __init__(self, deviation: Annotated[float, Range(0, 100)] = 0.1) -> None:
        if deviation < 0:
            raise UserError(f"InstanceNoise.deviation = {deviation} must be at least 0")
        self.deviation = deviation

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images with noise."""
        return images + self.deviation * torch.randn_like(images)


class AdaptiveAugment(DiffAugment):
    """DiffAugment with a probability that follows the discriminator's overconfidence (Karras et al. 2020, section 3).

    While more than `target` of r = E[sign D(real)] is seen, augmentation grows likelier, by 1 within `images` images;
    else less likely.
    """

    averages_images = False  # its probability moves with every batch

    def __init__(
        self, policy: Sequence[Word] = POLICIES, target: Annotated[float, Range(-1, 1)] = 0.6, images: Count = 500_000
    ) -> None:
        super().__init__(policy, probability=0.0)
        if not (-1.0 <= target <= 1.0 and images >= 1):
            raise UserError("AdaptiveAugment: target must lie between -1 and 1, and images be at least 1")
        self.target, self.images = target, images

    def observe(self, logits: Tensor) -> None:
        """Take in N×… logits of real images, as a least-squares or cross-entropy discriminator gives them."""
        surplus = float(logits.detach().sign().mean()) - self.target
        self.probability = min(
            1.0, max(0.0, self.probability + (len(logits) / self.images) * (1 if surplus > 0 else -1))
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the probability reached."""
        return {"probability": self.probability}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved probability."""
        self.probability = float(state["probability"])
