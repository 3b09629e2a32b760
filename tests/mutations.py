"""Small images in many encodings, and seeded damage to their bytes."""

import io
import random
from collections.abc import Callable

import awkward_bytes as raw
import numpy as np
import tifffile
from awkward_bytes import deepen, encode, npy, png, quadrants
from PIL import Image, features

Maker = Callable[[], bytes]


def tiff(array: np.ndarray, **options: object) -> bytes:
    """Return a TIFF as tifffile writes it."""
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def floats() -> np.ndarray:
    """Return H×W floats in [0, 1]."""
    return quadrants((0, 85, 170, 255)).astype(np.float32) / 255


def frames(form: str) -> bytes:
    """Return two frames."""
    file = io.BytesIO()
    raw.noise().save(file, form, save_all=True, append_images=[raw.base()])
    return file.getvalue()


ENCODINGS: dict[str, Maker] = {
    "png": lambda: encode(raw.noise(), "PNG"),
    "png-16": lambda: png(deepen(quadrants()), 2, 16),
    "png-palette": lambda: encode(raw.indexed(), "PNG", transparency=1),
    "png-alpha": lambda: png(raw.with_alpha(), 6),
    "png-interlaced": lambda: png(quadrants(), 2, interlaced=True),
    "png-grey": lambda: encode(raw.greys(), "PNG", icc_profile=raw.grey_profile()),
    "jpeg": lambda: encode(raw.turned(6), "JPEG", exif=raw.orientation(6), icc_profile=raw.rgb_profile()),
    "jpeg-progressive": lambda: encode(raw.noise(), "JPEG", progressive=True),
    "jpeg-cmyk": lambda: encode(raw.cmyk(), "JPEG"),
    "webp": lambda: encode(raw.noise(), "WEBP"),
    "webp-lossless": lambda: encode(Image.fromarray(raw.with_alpha()), "WEBP", lossless=True),
    "gif": lambda: frames("GIF"),
    "bmp": lambda: encode(raw.noise(), "BMP"),
    "ppm": lambda: encode(raw.noise(), "PPM"),
    "tiff": lambda: encode(raw.noise(), "TIFF", tiffinfo={274: 6}),
    "tiff-lzw": lambda: encode(raw.noise(), "TIFF", compression="tiff_lzw"),
    "tiff-deflate": lambda: encode(raw.noise(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff-jpeg": lambda: encode(raw.noise(), "TIFF", compression="jpeg"),
    "tiff-group4": lambda: encode(raw.bits(), "TIFF", compression="group4"),
    "tiff-tiles": lambda: tiff(np.asarray(raw.noise()), tile=(16, 16), photometric="rgb"),
    "tiff-16-rgb": lambda: tiff(deepen(quadrants()), photometric="rgb"),
    "tiff-pages": lambda: frames("TIFF"),
    "tiff-float": lambda: tiff(floats()),
    "tiff-float-tiles": lambda: tiff(floats(), tile=(16, 16), compression="zlib"),
    "npy": lambda: npy(quadrants()),
    "npy-float": lambda: npy(floats()),
    "ico": lambda: encode(raw.base(), "ICO"),
    **({"avif": lambda: encode(raw.noise(), "AVIF")} if features.check("avif") else {}),
}
EXTREMES = [number.to_bytes(4, order) for number in (0, 1, 2**16, 2**31 - 1, 2**32 - 1) for order in ("big", "little")]


def damage(data: bytes, seed: int) -> bytes:
    """Return the file with one kind of damage, which the seed chooses."""
    draw = random.Random(seed)
    spoilt, head = bytearray(data), min(len(data), 256)
    kind = draw.randrange(6)
    if kind == 0:  # a few bits, anywhere
        for _ in range(draw.randint(1, 8)):
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
    elif kind == 1:  # a few bytes of the header
        for _ in range(draw.randint(1, 4)):
            spoilt[draw.randrange(head)] = draw.randrange(256)
    elif kind == 2:  # a field of the header
        start = draw.randrange(head)
        spoilt[start : start + 4] = draw.choice(EXTREMES)
    elif kind == 3:  # the end is missing
        del spoilt[draw.randrange(len(spoilt)) :]
    elif kind == 4:  # a block is zero
        start = draw.randrange(len(spoilt))
        spoilt[start : start + 64] = bytes(64)
    else:  # bytes are put in, or some are there twice
        start = draw.randrange(len(spoilt))
        spoilt[start:start] = spoilt[start : start + draw.randint(1, 32)] or b"\0"
    return bytes(spoilt)
