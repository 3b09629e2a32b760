"""Images as people have them, in files or opened by Pillow, as the batch that networks take."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from diptych.errors import DataError
from diptych.images import numbers
from diptych.images.convention import normalise
from diptych.images.decoding import explained_decoding, read_tensor, to_picture
from diptych.images.form import PICTURE, Form

ImageLike = str | Path | Image.Image
"""A file, or what Pillow has opened or made of one."""


def to_batch(images: ImageLike | Sequence[ImageLike], form: Form = PICTURE) -> Tensor:
    """Return one image, or several of one size, as N×C×H×W in [-1, 1], read as `load_image` reads a file.

    Raises `DataError` for what cannot be read and for images of several sizes, `TypeError` for what is no image.
    """
    several = [images] if isinstance(images, ImageLike) else list(images)
    tensors = [_to_tensor(image, form) for image in several]
    sizes = {"×".join(map(str, tensor.shape[:0:-1])) for tensor in tensors}
    if len(sizes) != 1:
        found = f"are of several sizes ({', '.join(sorted(sizes))}): give them one by one" if sizes else "are none"
        raise DataError(f"the images {found}")
    return torch.stack(tensors)


def _to_tensor(image: ImageLike, form: Form) -> Tensor:
    if isinstance(image, str | Path):
        return read_tensor(Path(image), form)
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"a {type(image).__name__} is no image: give a path, an image of Pillow's, or an N×C×H×W tensor"
        )
    name = getattr(image, "filename", "") or "the image"
    with explained_decoding(name):
        numbers.check_pixels(name, image.size[::-1], form)
        if form.holds_numbers:
            picture = numbers.to_picture(numbers.read_grey(Path(name), image, form), form)
        else:
            picture = to_picture(image, form)
        return normalise(picture.to_tensor())
