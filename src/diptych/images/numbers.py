"""Files that hold numbers: TIFF, npy and grey pictures of any depth, read and written as stored."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from diptych.errors import DataError
from diptych.images.form import Form
from diptych.images.picture import Picture
from diptych.images.strips import require_bounded

Array = NDArray[np.generic]
FIRST_FRAME = "several frames or pages: the first frame is taken"
DECLARE = "declare their range, for instance data.range_a=[0,4095]"
_KEPT = {"shaped", "imagej", "uniform"}
_PLAIN: dict[str, Any] = {f"is_{name}": False for name in sorted(tifffile.TIFF.FILE_FLAGS - _KEPT)}
"""Microscopes' formats, all but those that lie in one file: an OME-TIFF may name others, a pipe too, to be opened."""
_GREY = {"L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def to_picture(array: Array, form: Form, remarks: tuple[str, ...] = ()) -> Picture:
    """Return an H×W×C array with its range scaled to [-1, 1]; `ValueError` says what its numbers lack."""
    require_declared(array.dtype, form)
    if not form.holds_numbers:  # a picture that happens to lie in an array
        return Picture((Image.fromarray(np.ascontiguousarray(array.squeeze(2) if form.channels == 1 else array)),))
    low, high = form.range or (0.0, 255.0)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused below, or clipped
        numbers = array.astype(np.float32)
        scaled = (numbers - low) * (2 / (high - low)) - 1
    if not np.isfinite(numbers).all():
        raise ValueError("it holds NaN or infinity")
    outside = bool(((numbers < low) | (numbers > high)).any())
    if outside:
        remarks += (f"numbers outside the declared range {low:g}…{high:g}, clipped",)
    scaled = scaled.clip(-1, 1)
    bands = tuple(Image.fromarray(scaled[..., channel].copy()) for channel in range(array.shape[2]))
    return Picture(bands, stored=str(array.dtype), remarks=remarks)


def read_npy(path: Path, form: Form) -> Array:
    """Return H×W×C of a .npy file with H×W, H×W×C or C×H×W numbers."""
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return shape(path, array, form)


def read_tiff(path: Path, form: Form) -> tuple[Array, tuple[str, ...]]:
    """Return H×W×C of a TIFF, whatever its depth, and remarks; channels may lie in pages of their own."""
    with tifffile.TiffFile(path, **_PLAIN) as file:
        len(file.pages)  # finds where a damaged list of pages leads back into itself, which a series follows for ever
        series, page = file.series[0], file.pages[0]
        whole = series.ndim == 2 or (series.ndim == 3 and form.channels in (series.shape[0], series.shape[2]))
        source = series if whole else page
        check_pixels(path, page.shape if not whole else (series.size // form.channels, 1), form)
        require_shape(path, source.shape, form)
        require_real(path, source.dtype)
        require_declared(source.dtype, form)
        require_bounded(path, series.pages if whole else [page], form)
        array: Array = source.asarray()  # now that it is known to be no larger than an image of the form may be
        remarks = () if whole else (FIRST_FRAME,)
    return shape(path, array, form), remarks


def read_grey(path: Path, image: Image.Image, form: Form) -> Array:
    """Return H×W×C of what Pillow opened, where it keeps all the numbers."""
    if image.mode not in _GREY and is_deep(image):
        raise DataError(f"{path}: 16-bit colour of this format cannot be read in full depth; store it as TIFF or .npy")
    array: Array = np.asarray(image)
    return shape(path, array, form)


def is_deep(image: Image.Image) -> bool:
    """Whether the file that Pillow opened, and has not loaded yet, stores 16 bits per channel."""
    tiles = getattr(image, "tile", None) or []
    return any(";16" in str(tile.args) for tile in tiles)


def shape(path: Path, array: Array, form: Form) -> Array:
    """Return the array as H×W×C with the declared number of channels."""
    require_shape(path, array.shape, form)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] != form.channels:
        array = np.moveaxis(array, 0, 2)
    check_pixels(path, array.shape[:2], form)
    require_real(path, array.dtype)
    return array


def require_shape(path: Path, found: tuple[int, ...], form: Form) -> None:
    """Refuse what is no image with the declared number of channels, first or last."""
    channels = {2: (1,), 3: (found[-1], found[0])}.get(len(found), ())
    if form.channels not in channels:
        size = "×".join(map(str, found))
        raise DataError(
            f"{path}: {size} numbers are not an image of {form.channels} channels; see data.channels_a and _b"
        )


def require_real(path: Path, kind: "np.dtype[Any] | None") -> None:
    """Refuse what holds no real numbers."""
    if kind is None or not np.issubdtype(kind, np.number) or np.issubdtype(kind, np.complexfloating):
        raise DataError(f"{path}: it holds {kind}, not numbers")


def require_declared(kind: "np.dtype[Any] | None", form: Form) -> None:
    """Refuse, with a `ValueError`, numbers of more than 8 bits whose range is not said."""
    if form.range is None and kind != np.uint8:
        raise ValueError(f"it holds {kind} numbers: {DECLARE}")


def check_pixels(name: object, size: tuple[int, ...], form: Form) -> None:
    """Refuse an image without pixels, or beyond the limit, before it is decoded."""
    pixels, side = math.prod(size[:2]), "×".join(map(str, size[1::-1]))
    if pixels < 1:
        raise DataError(f"{name}: not a readable image (its header says {side} pixels)")
    if pixels > form.max_pixels:
        limit = f"the limit of {form.max_pixels:,}; raise data.max_pixels, or --max-pixels"
        raise DataError(f"{name}: {side} pixels are more than {limit}")


def unscale(array: NDArray[np.float32], form: Form) -> Array:
    """Return H×W×C floats in [-1, 1] as numbers of the form's range and depth."""
    low, high = form.range or (0.0, 255.0)
    numbers = (array.astype(np.float64) + 1) / 2 * (high - low) + low
    kind = np.dtype(form.depth)
    if np.issubdtype(kind, np.integer):
        numbers = numbers.round().clip(np.iinfo(kind).min, np.iinfo(kind).max)
    return numbers.astype(kind)
