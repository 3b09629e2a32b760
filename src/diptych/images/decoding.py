"""The one way from a file to an image, for training and for inference."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from torch import Tensor

from diptych.errors import DataError, MachineError, UserError, is_exhaustion, name_reason
from diptych.images import numbers, png
from diptych.images.colour import lay_on, to_srgb, turn_upright
from diptych.images.convention import normalise
from diptych.images.form import PICTURE, Form
from diptych.images.picture import Picture
from diptych.images.quiet import silence_decoders

Image.init()
silence_decoders()
FORMATS = tuple(name for name in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF") if name in Image.OPEN)
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pnm", ".avif", ".npy",
)  # fmt: skip
_OPENING = threading.Lock()


def load_image(path: Path, form: Form = PICTURE) -> Picture:
    """Return the file as an upright picture of the form's channels.

    EXIF orientation is applied, transparency laid on the form's background (and kept in `alpha`), colours are
    converted to sRGB, of several frames the first is taken. Raises `DataError` naming the file and the reason,
    `MachineError` where there is not enough memory for it.
    """
    with explained_decoding(path):
        _require_regular(path)
        if path.suffix.lower() == ".npy":
            return numbers.to_picture(numbers.read_npy(path, form), form)
        try:
            return _load_known(path, form)
        except UnidentifiedImageError:
            return _load_multichannel(path, form)


@contextmanager
def explained_decoding(name: object) -> Iterator[None]:
    """Turn whatever decoders raise at damaged bytes into one line that names the file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # there is no common base: even warnings may be errors, if Python is told so
        if is_exhaustion(error):
            raise MachineError(f"{name}: not enough memory to decode it") from None
        raise DataError(f"{name}: not a readable image ({name_reason(error)})") from None


def read_tensor(path: Path, form: Form = PICTURE) -> Tensor:
    """Return the file as C×H×W floats in [-1, 1]."""
    return normalise(load_image(path, form).to_tensor())


def read_size(path: Path, form: Form = PICTURE) -> tuple[int, int]:
    """Return height and width, from the header where that is enough."""
    _require_regular(path)
    try:
        with _open(path) as file:
            return file.height, file.width
    except Exception:  # not Pillow's: an array, or damaged, which decoding will explain
        picture = load_image(path, form)
        return picture.height, picture.width


def _require_regular(path: Path) -> None:
    """Refuse what is no file: a named pipe, for one, would be waited for for ever."""
    if path.is_file():
        return
    if path.is_symlink():
        raise DataError(f"{path}: a link that leads nowhere")
    raise DataError(f"{path}: " + ("not a regular file" if path.exists() else "no such image"))


def _require_all_rows(path: Path, file: Image.Image) -> None:
    """Refuse a PNG with missing rows: Pillow leaves them zero, so that only a zero end is looked into."""
    if not any(file.crop((0, file.height - 1, file.width, file.height)).tobytes()):
        png.check_rows(path)


def _open(path: Path) -> Image.Image:
    """Read the header; the limit on pixels is ours, so that it can be raised without touching Pillow's."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _load_known(path: Path, form: Form) -> Picture:
    """Load what Pillow knows; a PNG is looked into more closely than Pillow does."""
    with _open(path) as file:
        numbers.check_pixels(path, file.size[::-1], form)
        if file.format == "PNG":
            png.check_checksums(path)
        picture = _load_numbers(path, file, form) if form.holds_numbers else to_picture(file, form)
        if file.format == "PNG":
            _require_all_rows(path, file)
        return picture


def to_picture(file: Image.Image, form: Form) -> Picture:
    """Return what Pillow has opened, or made, as an upright picture of the form's channels."""
    if file.mode == "F" or (file.mode == "I" and file.format == "TIFF"):
        kind = "float" if file.mode == "F" else "32-bit integer"
        raise ValueError(f"it holds {kind} numbers: {numbers.DECLARE}")
    deep = numbers.is_deep(file)
    frames = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)  # a telephone's second picture is a preview
    file.load()
    image, remarks = turn_upright(file)
    image.format = file.format  # `exif_transpose` forgets it, and colours depend on it
    colours, alpha, more = to_srgb(image)
    remarks += more
    if frames > 1:
        remarks.append(numbers.FIRST_FRAME)
    if deep and not any("16-bit" in remark for remark in remarks):
        remarks.append("16-bit, scaled to 8")
    flat = lay_on(colours, alpha, form.background)
    return Picture((flat if form.channels == 3 else flat.convert("L"),), alpha, remarks=tuple(remarks))


def _load_numbers(path: Path, file: Image.Image, form: Form) -> Picture:
    if file.format == "TIFF":
        try:
            return _load_tiff(path, form)
        except ValueError as error:
            if "imagecodecs" not in str(error) or file.mode not in ("L", "I;16", "F"):
                raise
    return numbers.to_picture(numbers.read_grey(path, file, form), form)


def _load_tiff(path: Path, form: Form) -> Picture:
    array, remarks = numbers.read_tiff(path, form)
    return numbers.to_picture(array, form, remarks)


def _load_multichannel(path: Path, form: Form) -> Picture:
    """Read a TIFF of a kind that Pillow does not know: several channels of 16 bits or floats."""
    try:
        return _load_tiff(path, form)
    except numbers.tifffile.TiffFileError:
        raise DataError(f"{path}: not a readable image ({_guess(path)})") from None


def _guess(path: Path) -> str:
    """Say what a file that is no image of ours seems to be."""
    start = path.open("rb").read(512).lstrip().lower()
    if not start:
        return "the file is empty"
    if start.startswith((b"<!doctype", b"<html", b"<svg", b"<?xml")):
        return "it looks like a web page or an SVG drawing"
    return f"none of the formats read here ({', '.join(FORMATS)}, npy), or its header is damaged"
