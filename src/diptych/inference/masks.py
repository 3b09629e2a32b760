"""Masks: where a translation replaces the content, or where a style goes. White there, black not, grey between."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from diptych.data import require_images
from diptych.errors import DataError
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
        place = self._place / name
        alike = self._files.get(place.with_suffix(""), [])
        if not alike:
            raise DataError(f"{place.with_suffix('')}.*: no such mask; put one there, white where {name} may change")
        if len(alike) > 1 and place not in alike:
            raise DataError(f"{alike[0]} and {alike[1].name}: both are masks of {name}; keep one")
        return load_mask(place if place in alike else alike[0], self._max_pixels)

    @property
    def files(self) -> list[Path]:
        """The files that masks are read from."""
        return [file for files in self._files.values() for file in files]


def load_mask(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return a mask as a grey picture of its own size."""
    return load_image(path, replace(PICTURE, channels=1, max_pixels=max_pixels))


def to_share(mask: Picture) -> Tensor:
    """Return 1×H×W: 0 where a mask is black, 1 where it is white."""
    return (normalise(mask.to_tensor()) + 1) / 2
