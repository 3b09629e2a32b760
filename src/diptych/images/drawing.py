"""Pictures for people: a tensor made visible, and grids of them."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diptych.images.convention import to_pixels


def to_image(image: Tensor) -> Image.Image:
    """Return a C×H×W tensor in [-1, 1] as RGB; of other channels than one or three the first three are shown."""
    channels = len(image)
    if channels == 2:
        image = torch.cat([image, image.mean(0, keepdim=True)])
    shown = image.expand(3, -1, -1) if channels == 1 else image[:3]
    return Image.fromarray(to_pixels(shown).permute(1, 2, 0).numpy())


def draw_grid(columns: Sequence[tuple[str, Tensor]], scale: int = 1) -> Image.Image:
    """Lay out titled columns of N×C×H×W images, one row per image, enlarged `scale` times."""
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
