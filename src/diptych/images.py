"""The image convention: RGB, N×3×H×W, float in [-1, 1]. Files become tensors here and nowhere else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from diptych.errors import DataError, MachineError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
_BACKGROUND = (255, 255, 255)


def read_image(path: Path) -> Image.Image:
    """Return the file as an upright 8-bit RGB image; transparency is laid on white.

    Raises `DataError` naming the file when it cannot be read.
    """
    try:
        with Image.open(path, formats=_FORMATS) as file:
            file.load()
            return _to_rgb(ImageOps.exif_transpose(file))
    except FileNotFoundError:
        raise DataError(f"{path}: no such image") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).split(": ")[0] if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise DataError(f"{path}: not a readable image ({reason or type(error).__name__})") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # PIL clips 16-bit grey to white instead of scaling it
        image = Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*_BACKGROUND, 255)), image)
    return image.convert("RGB")


def to_uint8_tensor(image: Image.Image) -> Tensor:
    """Return an RGB image as a 3×H×W uint8 tensor."""
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor) -> Tensor:
    """Map uint8 pixels 0…255 to floats in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1.0)


def to_pixels(images: Tensor) -> Tensor:
    """Map floats in [-1, 1] to uint8, rounded to the nearest grey level and clipped."""
    return images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def to_unit(images: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1], clipped: the range that kornia and most metrics expect."""
    return images.float().add(1.0).div(2.0).clamp(0.0, 1.0)


def read_tensor(path: Path) -> Tensor:
    """Return the file as a 3×H×W float tensor in [-1, 1]."""
    return normalise(to_uint8_tensor(read_image(path)))


def to_image(image: Tensor) -> Image.Image:
    """Return a 3×H×W tensor in [-1, 1] as an RGB image."""
    return Image.fromarray(to_pixels(image).permute(1, 2, 0).numpy())


def write_image(image: Tensor | Image.Image, path: Path) -> None:
    """Write a 3×H×W tensor in [-1, 1], or an image, whole or not at all; the suffix chooses the format."""
    picture = to_image(image) if isinstance(image, Tensor) else image
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")  # the suffix tells the format
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            picture.save(temporary, quality=95)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise MachineError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize to (height, width) by bicubic interpolation with antialiasing, as PIL does it."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def draw_grid(columns: Sequence[tuple[str, Tensor]], scale: int = 1) -> Image.Image:
    """Lay out titled columns of N×3×H×W images, one row per image, enlarged `scale` times."""
    height, width = columns[0][1].shape[-2:]
    height, width, gap, header = height * scale, width * scale, 2, 16
    rows = max(len(images) for _, images in columns)
    sheet = Image.new("RGB", (len(columns) * (width + gap) + gap, rows * (height + gap) + gap + header), "white")
    for index, (title, images) in enumerate(columns):
        left = gap + index * (width + gap)
        _write_title(sheet, title, left, width)
        for row, image in enumerate(images):
            picture = to_image(image).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(picture, (left, header + gap + row * (height + gap)))
    return sheet


def _write_title(sheet: Image.Image, title: str, left: int, width: int) -> None:
    """Write a column's title, cut to its column's width."""
    font, drawing = ImageFont.load_default(size=11), ImageDraw.Draw(sheet)
    while title and drawing.textlength(title, font=font) > width:
        title = title[:-1]
    drawing.text((left + 1, 1), title, fill="black", font=font)
