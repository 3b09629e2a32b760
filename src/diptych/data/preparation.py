"""From a file to what a network trains on: the presets of Zhu et al. 2017's code, with its defaults."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from diptych.errors import DataError, UserError
from diptych.images import PICTURE, Form, Picture, load_image, normalise

Preset = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
_STEP = 4  # preset `none` rounds sides to a multiple of this, as published


@dataclass(frozen=True)
class Preparation:
    """How images are brought to size, and which part of that is drawn at random.

    `resize_and_crop` resizes to load_size × load_size (the aspect ratio given up) and crops crop_size × crop_size;
    `crop` only crops; `scale_width` makes images load_size wide (and at least crop_size high), `…_and_crop` crops too;
    `none` keeps the size but for rounding to multiples of four. Half of the images are flipped.
    """

    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    preset: str = "resize_and_crop"
    min_size: int = 16

    def __post_init__(self) -> None:
        if self.preset not in get_args(Preset):
            raise UserError(f"data.preset = {self.preset} must be one of {', '.join(get_args(Preset))}")
        if self.crop_size < 1 or (self._scales and self.load_size < self.crop_size):
            raise UserError(f"data.crop_size = {self.crop_size} must lie between 1 and data.load_size {self.load_size}")

    @property
    def _scales(self) -> bool:
        return self.preset.startswith(("resize", "scale"))

    @property
    def crops(self) -> bool:
        """Whether all training images are of one size, crop_size × crop_size."""
        return "crop" in self.preset

    def load(self, path: Path, form: Form = PICTURE) -> tuple[Tensor, tuple[str, ...]]:
        """Return what never changes about an image, C×H×W as stored, and remarks about the file."""
        picture = load_image(path, form)
        if problem := self.find_problem(picture.height, picture.width):
            raise DataError(f"{path}: {problem}")
        return self._bring_to_size(picture).to_tensor(), picture.remarks

    def find_problem(self, height: int, width: int) -> str:
        """Say why an image of this size cannot be trained on, or nothing."""
        least, key = self.min_size, "data.min_size"
        if self.preset == "crop" and self.crop_size > least:
            least, key = self.crop_size, "data.crop_size"
        small = min(height, width) < least
        return f"{width}×{height} pixels are too small for {key}={least}" if small else ""

    def _bring_to_size(self, picture: Picture) -> Picture:
        if self.preset == "resize_and_crop":
            return picture.resize(self.load_size, self.load_size)
        if self._scales:
            height = int(max(self.load_size * picture.height / picture.width, self.crop_size))
            return picture.resize(height, self.load_size)
        if self.preset == "none":
            return picture.resize(
                *(max(_STEP, round(side / _STEP) * _STEP) for side in (picture.height, picture.width))
            )
        return picture

    def vary(self, pixels: Tensor, random: Generator) -> Tensor:
        """Return a random crop, perhaps flipped, as stored: a quarter of the bytes of floats on their way."""
        height, width = pixels.shape[-2:]
        if self.crops:
            top, left = (
                int(torch.randint(side - self.crop_size + 1, (), generator=random)) for side in (height, width)
            )
            pixels = pixels[:, top : top + self.crop_size, left : left + self.crop_size]
        flipped = torch.rand((), generator=random) < 0.5
        return pixels.flip(-1) if self.flip and flipped else pixels

    def load_for_test(self, path: Path, form: Form = PICTURE) -> Tensor:
        """Return the image at crop_size × crop_size in [-1, 1], nothing at random.

        `resize_and_crop` shows the whole image, the others its centre at the scale of training if large enough.
        """
        picture = load_image(path, form)
        if self.preset == "resize_and_crop":
            return normalise(picture.resize(self.crop_size, self.crop_size).to_tensor())
        picture = self._bring_to_size(picture)
        if min(picture.height, picture.width) < self.crop_size:
            picture = picture.scale_shorter_side(self.crop_size)
        top, left = (picture.height - self.crop_size) // 2, (picture.width - self.crop_size) // 2
        return normalise(picture.to_tensor()[:, top : top + self.crop_size, left : left + self.crop_size])
