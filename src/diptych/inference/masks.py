"""Masks: where on an image a style or a translation goes. White there, black where it does not, grey between."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from diptych.data import require_images
from diptych.errors import DataError, UserError
from diptych.images import PICTURE, Picture, load_image, normalise
from diptych.images.form import MAX_PIXELS


class Masks:
    """A file that serves all images, or a folder with a mask for each, of the same relative name but for the suffix."""

    def __init__(self, place: Path, max_pixels: int = MAX_PIXELS) -> None:
        self._place, self._max_pixels = place, max_pixels
        self._shared = None if place.is_dir() else load_mask(place, max_pixels)
        self._files: dict[Path, list[Path]] = {}  # by their names without suffix
        for file in require_images(place, "--mask") if place.is_dir() else [place]:
            self._files.setdefault(file.with_suffix(""), []).append(file)

    def find(self, name: Path) -> Picture:
        """Return the mask of the image of this relative name; `DataError` where it has none that can be read."""
        if self._shared is not None:
            return self._shared
        wanted = self._place / name
        alike = self._files.get(wanted.with_suffix(""), [])
        if not alike:
            raise DataError(f"{wanted.with_suffix('')}.*: no such mask; put one there, white where {name} may change")
        if len(alike) > 1 and wanted not in alike:
            raise DataError(f"{alike[0]} and {alike[1].name}: both are masks of {name}; keep one")
        return load_mask(wanted if wanted in alike else alike[0], self._max_pixels)

    def refuse_overwriting(self, targets: Iterable[Path]) -> None:
        """Raise where a file to be written is a mask."""
        own = {os.path.realpath(file) for files in self._files.values() for file in files}
        for target in targets:
            if os.path.realpath(target) in own:
                raise UserError(f"--out {target}: this mask would be overwritten; choose another folder")


def load_mask(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return a mask as a grey picture of its own size."""
    return load_image(path, replace(PICTURE, channels=1, max_pixels=max_pixels))


def to_share(mask: Picture) -> Tensor:
    """Return 1×H×W: 0 where a mask is black, 1 where it is white."""
    return (normalise(mask.to_tensor()) + 1) / 2
