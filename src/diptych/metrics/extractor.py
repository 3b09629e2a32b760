"""Features of images by networks that others have trained, and metrics that compare them."""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diptych.images import to_pixels
from diptych.metrics.metric import Batch, Metric, Score
from diptych.metrics.network import Network


class Extractor(Network, ABC):
    """A network that describes images, one by one."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the features of N×C×H×W images in [-1, 1], N×…; NaN unless they are grey or RGB.

        Images are rounded to 8 bits before: published numbers are of saved files, and rounding alone moves them.
        """
        pixels = to_rgb(images)
        return images.new_full((len(images), 1), math.nan) if pixels is None else self.extract(pixels).float()

    @abstractmethod
    def extract(self, pixels: Tensor) -> Tensor:
        """Return the features of N×3×H×W pixels, uint8."""


class FeatureMetric(Metric):
    """A metric of an extractor's features; `weights` is a file in place of the published one."""

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    @property
    @abstractmethod
    def extractor(self) -> Extractor:
        """What describes images, made when it is first asked for."""

    def describe(self, batch: Batch) -> Tensor:
        """Return the features, N×d."""
        return batch.look(self.extractor)

    def describe_network(self) -> dict[str, str]:
        return self.extractor.describe()

    def score(self, rows: Tensor, reals: Tensor, interval: bool = True) -> Score:
        """Return value and uncertainty: NaN where images could not be described."""
        if rows.isnan().any() or reals.isnan().any():
            return Score(math.nan, math.nan, len(rows))
        return super().score(rows, reals, interval)


def to_rgb(images: Tensor) -> Tensor | None:
    """Return N×3×H×W uint8 pixels of images in [-1, 1], grey repeated; None where they are neither grey nor RGB."""
    return to_pixels(images).expand(-1, 3, -1, -1).contiguous() if images.shape[1] in (1, 3) else None


def resize_clean(pixels: Tensor, side: int) -> Tensor:
    """Return N×3×S×S floats in [0, 255]: Pillow's bicubic filter, which smooths, on each channel, without rounding.

    On Aliased Resizing and Surprising Subtleties in GAN Evaluation. Parmar, Zhang, Zhu. 2022.
    https://arxiv.org/abs/2104.11222
    """
    channels = [_resize_channel(channel.numpy(), side) for channel in pixels.flatten(0, 1)]
    return torch.from_numpy(np.stack(channels)).reshape(len(pixels), 3, side, side).clamp(0, 255)


def _resize_channel(channel: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(channel.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
