"""Images: the convention that all parts share, and the only door between files and tensors."""

from diptych.images.batch import ImageLike, to_batch
from diptych.images.convention import normalise, to_pixels, to_unit
from diptych.images.decoding import FORMATS, SUFFIXES, load_image, read_size, read_tensor
from diptych.images.drawing import draw_grid, to_image
from diptych.images.form import PICTURE, Form
from diptych.images.picture import Picture
from diptych.images.writing import choose_suffix, write_image

__all__ = [
    "FORMATS",
    "PICTURE",
    "SUFFIXES",
    "Form",
    "ImageLike",
    "Picture",
    "choose_suffix",
    "draw_grid",
    "load_image",
    "normalise",
    "read_size",
    "read_tensor",
    "to_batch",
    "to_image",
    "to_pixels",
    "to_unit",
    "write_image",
]
