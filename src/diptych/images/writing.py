"""From tensors to files, whole or not at all."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diptych.errors import MachineError
from diptych.files import write_whole
from diptych.images.convention import to_pixels
from diptych.images.form import PICTURE, Form
from diptych.images.numbers import unscale

_PICTURES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".ppm",
    ".pgm",
    ".pnm",
    ".avif",
)
_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff", ".avif")
_NEVER_TRANSPARENT = (".jpg", ".jpeg", ".jfif", ".bmp", ".ppm", ".pgm", ".pnm")
_DEEP_GREY = (".png", ".pgm")


def choose_suffix(suffix: str, form: Form = PICTURE, alpha: bool = False) -> str:
    """Return the suffix itself where such a file can hold what will be written, else that of one that can."""
    small = suffix.lower()
    if form.holds_numbers:
        grey = form.channels == 1 and form.depth in ("uint8", "uint16")
        return suffix if small in (".npy", ".tif", ".tiff") or (grey and small in _DEEP_GREY) else ".tif"
    return suffix if small in ((*_WITH_ALPHA, *_NEVER_TRANSPARENT) if alpha else _PICTURES) else ".png"


def write_image(
    image: Tensor | Image.Image, path: Path, form: Form = PICTURE, alpha: Image.Image | None = None
) -> None:
    """Write a C×H×W tensor in [-1, 1], or an image; the suffix chooses the format, the form depth and range.

    Raises `MachineError` naming the file when that fails; nothing half-written remains.
    """
    try:
        with write_whole(path) as temporary:  # of the same suffix, which tells the format
            if isinstance(image, Tensor) and form.holds_numbers:
                _write_numbers(image, temporary, form)
            else:
                _write_picture(image, temporary, alpha)
    except ValueError as error:
        raise MachineError(f"{path}: cannot be written ({error})") from None


def _write_picture(image: Tensor | Image.Image, path: Path, alpha: Image.Image | None) -> None:
    picture = _to_picture(image) if isinstance(image, Tensor) else image
    if alpha is not None and path.suffix.lower() in _WITH_ALPHA:
        picture = picture.convert("RGB")
        picture.putalpha(alpha)
    picture.save(path, quality=95, **({"format": "JPEG"} if path.suffix.lower() == ".jfif" else {}))


def _to_picture(image: Tensor) -> Image.Image:
    pixels = to_pixels(image).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)


def _write_numbers(image: Tensor, path: Path, form: Form) -> None:
    """Write H×W numbers of one channel, H×W×C of several."""
    floats: NDArray[np.float32] = image.detach().float().clamp(-1, 1).cpu().permute(1, 2, 0).numpy()
    array = unscale(floats, form)
    array = array.squeeze(2) if array.shape[2] == 1 else array
    if path.suffix.lower() == ".npy":
        np.save(path, array)
    elif path.suffix.lower() in _DEEP_GREY:
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, np.ascontiguousarray(array), photometric="minisblack", planarconfig=_plan(array))


def _plan(array: NDArray[np.generic]) -> str | None:
    """Say that channels lie beside each other; a grey image has no such plan."""
    return "contig" if array.ndim == 3 else None
