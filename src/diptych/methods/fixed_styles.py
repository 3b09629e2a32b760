"""Style images that stay the same throughout a training: described once, each as it is."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from diptych.errors import UserError
from diptych.images import Form, load_image, normalise
from diptych.losses import StyleTransferLoss
from diptych.terminal import say

MAX_PIXELS = 1024**2
"""A larger style image is shrunk to this many pixels, at which VGG-16 takes 0.7 GiB for a moment (measured)."""
MAX_BYTES = 4 * 2**30
"""Descriptions that would take more memory than this are refused."""


class FixedStyles:
    """What a loss compares with, of each style image: neither squeezed nor cropped, flipped or augmented.

    They are looked at on the device and in the type of `like`; what is kept of them follows from the images and the
    recipe, so that no checkpoint need hold it. That of several lies in the host's memory until it is picked.
    """

    def __init__(self, loss: StyleTransferLoss, paths: Sequence[Path], form: Form, like: Tensor) -> None:
        self._loss, self._kept = loss, list[dict[str, Tensor]]()
        for path in paths:
            described = loss.describe_style(_load(path, form).to(like))
            size = len(paths) * sum(tensor.nbytes for tensor in described.values())
            if size > MAX_BYTES:
                kind, images = type(loss.style).__name__, f"{len(paths)} style images as large as {path}"
                raise UserError(
                    f"method.style: what {kind} keeps of {images} takes {size / 2**30:.1f} GiB; "
                    "GramStyle and MomentStyle keep less, and so do smaller images"
                )
            alone = len(paths) == 1
            self._kept.append({name: tensor if alone else tensor.cpu() for name, tensor in described.items()})

    def pick(self, numbers: Tensor | None = None) -> dict[str, Tensor]:
        """Return a batch's descriptions by the numbers of its N styles, or without those the only style's."""
        if numbers is None or len(self._kept) == 1:
            return self._kept[0]
        chosen = [self._kept[number] for number in numbers.tolist()]
        return {
            name: self._loss.style.stack([style[name] for style in chosen]).to(numbers.device) for name in chosen[0]
        }


def _load(path: Path, form: Form) -> Tensor:
    """Return the 1×3×h×w image in [-1, 1] at its own size, or as many pixels of it as are looked at."""
    picture = load_image(path, form)
    share = (MAX_PIXELS / (picture.height * picture.width)) ** 0.5
    if share < 1:
        small = picture.resize(max(1, int(picture.height * share)), max(1, int(picture.width * share)))
        sizes = f"{picture.width}×{picture.height} pixels, looked at as {small.width}×{small.height}"
        rank_zero_only(say)(f"notice: {path}: {sizes}")
        picture = small
    return normalise(picture.to_tensor()[None]).to(torch.get_default_dtype())
