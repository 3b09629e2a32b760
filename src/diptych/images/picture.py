"""A decoded image, before it becomes a tensor."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Picture:
    """An upright image: one RGB or grey band of 8 bits, or one band of floats in [-1, 1] per channel.

    `alpha` is what transparency the file had, `stored` the numpy name of the numbers it held, and `remarks` says
    what a user may want to know about how it was read.
    """

    bands: tuple[Image.Image, ...]
    alpha: Image.Image | None = None
    stored: str = "uint8"
    remarks: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return self.bands[0].height

    @property
    def width(self) -> int:
        return self.bands[0].width

    def resize(self, height: int, width: int) -> "Picture":
        """Resize by bicubic interpolation with antialiasing, as PIL does it."""
        if (height, width) == (self.height, self.width):
            return self
        bands = tuple(band.resize((width, height), Image.Resampling.BICUBIC) for band in self.bands)
        alpha = self.alpha and self.alpha.resize((width, height), Image.Resampling.BICUBIC)
        return replace(self, bands=bands, alpha=alpha)

    def scale_shorter_side(self, size: int) -> "Picture":
        """Bring the shorter side to so many pixels, the aspect ratio kept."""
        return self.resize(*self.measure_scaled(size))

    def measure_scaled(self, size: int) -> tuple[int, int]:
        """Return height and width when the shorter side has so many pixels."""
        factor = size / min(self.height, self.width)
        return max(1, round(self.height * factor)), max(1, round(self.width * factor))

    def to_tensor(self) -> Tensor:
        """Return C×H×W: uint8 pixels of a picture, floats in [-1, 1] of numbers."""
        arrays = [np.array(band) for band in self.bands]
        array = arrays[0] if len(arrays) == 1 else np.stack(arrays, -1)
        tensor = torch.from_numpy(array.reshape(self.height, self.width, -1)).permute(2, 0, 1).contiguous()
        return tensor.clamp(-1, 1) if tensor.is_floating_point() else tensor  # bicubic interpolation overshoots
