"""From a file to what a network trains on: resize, random crop, random flip (Zhu et al. 2017, code's defaults)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from diptych.errors import UserError
from diptych.images import normalise, read_image, resize, to_uint8_tensor


@dataclass(frozen=True)
class Preparation:
    """Square images of `load_size`, cropped at random to `crop_size` pixels a side, flipped half of the time."""

    load_size: int = 286
    crop_size: int = 256
    flip: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.crop_size <= self.load_size:
            raise UserError(f"data.crop_size = {self.crop_size} must lie between 1 and data.load_size {self.load_size}")

    def load(self, path: Path) -> Tensor:
        """Return the file as 3×load_size×load_size uint8, the aspect ratio given up: the part that never changes."""
        return to_uint8_tensor(resize(read_image(path), (self.load_size, self.load_size)))

    def vary(self, pixels: Tensor, random: Generator) -> Tensor:
        """Return a random crop, perhaps flipped, in [-1, 1]."""
        slack = self.load_size - self.crop_size + 1
        top, left = torch.randint(slack, (2,), generator=random).tolist()
        crop = pixels[:, top : top + self.crop_size, left : left + self.crop_size]
        flipped = torch.rand((), generator=random) < 0.5
        return normalise(crop.flip(-1) if self.flip and flipped else crop)

    def load_for_test(self, path: Path) -> Tensor:
        """Return the whole image at crop_size, in [-1, 1], nothing at random."""
        return normalise(to_uint8_tensor(resize(read_image(path), (self.crop_size, self.crop_size))))
