"""A corpus of awkward image files, each with what it must decode to, or that it must be refused.

    python tests/awkward.py FOLDER

The upright picture has four quadrants: red, green, blue, yellow. Turned, mirrored or recoloured, it shows.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import awkward_bytes as raw
import numpy as np
from awkward_bytes import ALPHAS, BLUE, COLOURS, GREYS, YELLOW, deepen, npy, pil, pil_twice, png, quadrants, tiff
from PIL import Image, features

Colour = tuple[int, int, int]
Point = tuple[tuple[float, float], Colour]
POINTS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))


@dataclass(frozen=True)
class Awkward:
    """One file: its name, how it is made, and what a reader must make of it."""

    name: str
    make: Callable[[Path], None]
    what: str
    size: tuple[int, int] | None = None  # (width, height), upright; none where the file must be refused
    colours: tuple[Point, ...] = ()  # at fractions of the upright image, laid on white
    tolerance: int = 3
    refused: str = ""  # in the line that refuses it, lower case
    remark: str = ""  # in the notice
    small: bool = False  # too small to train on, not to translate


def make_corpus(folder: Path) -> None:
    """Write all files below the folder, replacing those of the same name."""
    for entry in CORPUS:
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        entry.make(path)


def at_points(colours: Sequence[Any], alphas: Sequence[int] = (255,) * 4) -> dict[str, Any]:
    """Return what the quadrants must show once the colours (or greys) are laid on white."""
    triples = np.broadcast_to(np.array(colours).reshape(4, -1), (4, 3))
    blend = np.rint(255 + (triples - 255) * (np.array(alphas)[:, None] / 255)).astype(int).tolist()
    return {"colours": tuple((point, tuple(colour)) for point, colour in zip(POINTS, blend, strict=True))}


def shown(name: str, what: str, data: Callable[[], bytes], **changes: Any) -> Awkward:
    """Return a file that decodes: to the base picture, unless the changes say otherwise."""
    expected = {"size": (48, 32), "tolerance": 6 if "JPEG" in what else 3} | BASE | changes
    return Awkward(name, partial(_write, data), what, **expected)


def spurned(name: str, what: str, data: Callable[[], bytes], word: str = "") -> Awkward:
    """Return a file that is refused with the word."""
    return Awkward(name, partial(_write, data), what, refused=word)


def _write(data: Callable[[], bytes], path: Path) -> None:
    path.write_bytes(data())


def sized(width: int, height: int, **changes: Any) -> Awkward:
    """Return a PNG of this size."""
    draw = partial(Image.fromarray, quadrants(size=(width, height)))
    return shown(f"{width}x{height}.png", f"PNG, {width}×{height}", pil("PNG", draw), size=(width, height), **changes)


def linear_to_srgb(value: int) -> int:
    """Return the 8-bit grey of sRGB that shines as a linear one does."""
    return round(255 * (1.055 * (value / 255) ** (1 / 2.4) - 0.055))


def oriented(value: int, order: str = "<") -> bytes:
    """Return a JPEG as a camera held so writes it."""
    return raw.encode(raw.turned(value), "JPEG", exif=raw.orientation(value, order))


def cut(form: str) -> bytes:
    """Return the half of a file that a broken download leaves."""
    data = raw.encode(raw.noise(), form)
    return data[: len(data) // 2]


def claim(form: str, mark: bytes, skip: int, size: bytes) -> bytes:
    """Return a file whose header, `skip` bytes past the start of the mark, claims a size that it has not."""
    return raw.overwrite(raw.encode(raw.base(), form), mark, skip, size)


def ppm(pixels: np.ndarray, deepest: int) -> bytes:
    """Return a PPM or PGM in decimal text, or a binary one of 16 bits."""
    head = f"P{5 if pixels.ndim == 2 else 3}\n# a comment\n48 32\n{deepest}\n".encode()
    return head + (pixels.astype(">u2").tobytes() if pixels.ndim == 2 else " ".join(map(str, pixels.flat)).encode())


BASE = at_points(COLOURS)
GREY = at_points(GREYS)
STEPS = at_points((0, 85, 170, 255))
BITS = at_points((0, 255, 255, 0))
BLENDED = at_points(COLOURS, ALPHAS)
HOLE = at_points(COLOURS, (255, 255, 0, 255))
GREY_HOLE = at_points(GREYS, (255, 255, 0, 255))
SWAPPED = at_points([colour[::-1] for colour in COLOURS])
LINEAR = at_points([linear_to_srgb(grey) for grey in GREYS])
DEEP = {"remark": "16-bit"}
FIRST = {"remark": "first frame"}
TAKEN = {"remark": "profile"}  # what does not apply is left aside, and that is said
SMALL, LARGE = b"(32, 48, 3), }        ", b"(100000, 100000, 3), }"  # in the header of a NumPy file
WIDE = tuple(257 * grey for grey in GREYS)
SRGB, CROSSED, DIM = raw.rgb_profile(), raw.rgb_profile(raw.PRIMARIES[::-1]), raw.grey_profile()

TURNED = (
    *(shown(f"oriented-{way}.jpg", f"JPEG, EXIF orientation {way}", partial(oriented, way)) for way in range(1, 9)),
    shown("oriented-big-endian.jpg", "JPEG, EXIF orientation 6, big-endian", lambda: oriented(6, ">")),
    shown("oriented-9.jpg", "JPEG, EXIF orientation 9, which does not exist", lambda: oriented(9)),
    shown("exif-broken.jpg", "JPEG, broken EXIF", pil("JPEG", exif=b"Exif\0\0garbage")),
    shown("oriented.png", "PNG, EXIF orientation 6", pil("PNG", partial(raw.turned, 6), exif=raw.orientation(6))),
    shown("oriented.webp", "WebP, EXIF orientation 8", pil("WEBP", partial(raw.turned, 8), exif=raw.orientation(8))),
    shown("oriented.tif", "TIFF, orientation 6", pil("TIFF", partial(raw.turned, 6), tiffinfo={274: 6})),
)
STORED = (
    shown("plain.png", "PNG", pil("PNG")),
    shown("palette.png", "palette PNG", pil("PNG", raw.indexed)),
    shown("interlaced.png", "interlaced PNG", lambda: png(quadrants(), 2, interlaced=True)),
    shown("grey.png", "grey PNG", pil("PNG", raw.greys), **GREY),
    shown("1-bit.png", "1-bit PNG", pil("PNG", raw.bits), **BITS),
    shown("2-bit.png", "2-bit grey PNG", lambda: raw.grey_png(2, range(4)), **STEPS),
    shown("cmyk-adobe.jpg", "CMYK JPEG, Adobe-inverted", pil("JPEG", raw.cmyk)),
    shown("cmyk-plain.jpg", "CMYK JPEG, no Adobe marker, not inverted", raw.cmyk_without_adobe),
    shown("ycck.jpg", "YCCK JPEG, Adobe-inverted", raw.ycck),
    shown("rgb.jpg", "JPEG stored as RGB", pil("JPEG", keep_rgb=True)),
    shown("grey.jpg", "grey JPEG", pil("JPEG", raw.greys), **GREY),
    shown("progressive.jpg", "progressive JPEG", pil("JPEG", progressive=True)),
    shown("telephone.jpg", "JPEG with a second picture (MPO)", pil_twice("MPO")),
    shown("garbage-behind.jpg", "JPEG, garbage behind its end", lambda: pil("JPEG")() + b"\xff?" * 99),
    shown("png.jpg", "PNG named .jpg", pil("PNG")),
    shown("1-bit.tif", "1-bit TIFF, Group 4", pil("TIFF", raw.bits, compression="group4"), **BITS),
    shown("white-is-zero.tif", "grey TIFF, white is zero", lambda: tiff(255 - quadrants(GREYS), 0), **GREY),
    shown("cmyk.tif", "CMYK TIFF", pil("TIFF", raw.cmyk)),
    shown("lab.tif", "CIELAB TIFF", pil("TIFF", raw.lab), tolerance=12),
    shown("jpeg.tif", "TIFF, JPEG inside", pil("TIFF", compression="jpeg", quality=95)),
    shown("big.tif", "BigTIFF, LZW", pil("TIFF", big_tiff=True, compression="tiff_lzw")),
    shown("pages.tif", "TIFF of two pages", pil_twice("TIFF"), **FIRST),
    shown("plain.bmp", "BMP", pil("BMP")),
    shown("top-down.bmp", "32-bit BMP, top row first, fourth byte 0", lambda: raw.bmp_top_down(quadrants())),
    shown("plain.ppm", "PPM", pil("PPM")),
    shown("text.ppm", "PPM in decimal text", lambda: ppm(quadrants(), 255)),
    *([shown("plain.avif", "AVIF", pil("AVIF", quality=95), tolerance=8)] if features.check("avif") else []),
    shown("animated.gif", "animated GIF", pil_twice("GIF", raw.indexed), **FIRST),
    shown("animated.png", "animated PNG", pil_twice("PNG"), **FIRST),
    shown("animated.webp", "animated WebP", pil_twice("WEBP"), **FIRST),
    shown("array.npy", "NumPy array of bytes, H×W×3", lambda: npy(quadrants())),
    shown("columns.npy", "NumPy array of bytes, H×W×3, by columns", lambda: npy(np.asfortranarray(quadrants()))),
)
DEEPER = (
    shown("16-bit.png", "16-bit grey PNG", lambda: raw.grey_png(16, WIDE), **GREY, **DEEP),
    shown("16-bit-rgb.png", "16-bit RGB PNG", lambda: png(deepen(quadrants()), 2, 16), **DEEP),
    shown("16-bit-rgba.png", "16-bit RGBA PNG", lambda: png(deepen(raw.with_alpha()), 6, 16), **BLENDED, **DEEP),
    shown("16-bit-little.tif", "16-bit grey TIFF", lambda: tiff(deepen(quadrants(GREYS)), 1), **GREY, **DEEP),
    shown("16-bit-big.tif", "16-bit grey TIFF, MM", lambda: tiff(deepen(quadrants(GREYS)), 1, ">"), **GREY, **DEEP),
    shown("16-bit-rgb.tif", "16-bit RGB TIFF", lambda: tiff(deepen(quadrants()), 2), **DEEP),
    shown("16-bit.pgm", "16-bit PGM", lambda: ppm(deepen(quadrants(GREYS)), 65535), **GREY, **DEEP),
)
CLEAR_GREY, CLEAR_WIDE, CLEAR_BLUE = (raw.transparent(*value) for value in ([GREYS[2]], [WIDE[2]], BLUE))
CLEAR = (
    shown("rgba.png", "RGBA PNG", lambda: png(raw.with_alpha(), 6), **BLENDED),
    shown("la.png", "grey PNG with alpha", lambda: png(raw.with_alpha(GREYS), 4), **at_points(GREYS, ALPHAS)),
    shown("palette-alphas.png", "palette PNG, four opacities", lambda: raw.palette_png(bytes(ALPHAS)), **BLENDED),
    shown("palette-hole.png", "palette PNG, a transparent index", lambda: raw.palette_png(b"\xff\xff\0"), **HOLE),
    shown("grey-hole.png", "PNG, a transparent grey", lambda: raw.grey_png(8, GREYS, CLEAR_GREY), **GREY_HOLE),
    shown("wide-hole.png", "PNG, 16-bit, the same", lambda: raw.grey_png(16, WIDE, CLEAR_WIDE), **GREY_HOLE, **DEEP),
    shown("rgb-hole.png", "RGB PNG, a transparent colour", lambda: png(quadrants(), 2, extra=[CLEAR_BLUE]), **HOLE),
    shown("rgba.tif", "TIFF with alpha", lambda: tiff(raw.with_alpha(), 2, alpha=2), **BLENDED),
    shown("premultiplied.tif", "TIFF with alpha, multiplied", lambda: tiff(raw.premultiplied(), 2, alpha=1), **BLENDED),
    shown("rgba.webp", "WebP with alpha", pil("WEBP", lambda: Image.fromarray(raw.with_alpha())), **BLENDED),
    shown("hole.gif", "GIF, a transparent index", pil("GIF", raw.indexed, transparency=2), **HOLE),
)
PROFILED = (
    shown("srgb.png", "PNG, sRGB profile", pil("PNG", icc_profile=SRGB)),
    shown("swapped.png", "PNG, profile that swaps red and blue", pil("PNG", icc_profile=CROSSED), **SWAPPED),
    shown("swapped.jpg", "JPEG, profile that swaps red and blue", pil("JPEG", icc_profile=CROSSED), **SWAPPED),
    shown("linear.png", "grey PNG, linear profile", pil("PNG", raw.greys, icc_profile=DIM), **LINEAR),
    shown("mismatched.jpg", "grey JPEG, RGB profile", pil("JPEG", raw.greys, icc_profile=CROSSED), **GREY, **TAKEN),
    shown("profile-broken.jpg", "JPEG, broken profile", pil("JPEG", icc_profile=b"garbage" * 40), **TAKEN),
    shown("profile-cut.png", "PNG, profile cut short", pil("PNG", icc_profile=CROSSED[:200]), **TAKEN),
    shown("profile-zlib.png", "PNG, broken iCCP", lambda: png(quadrants(), 2, extra=[(b"iCCP", b"x\0\0garbage")])),
)
NAMES = (
    "two words", "composed \u00e9", "decomposed e\u0301", "絵画 🎨", "a=b", "a,b", "[0-9]{a,b}(c)", "it's \"so\"",
    "-v", "100%20", "two.dots", "dots.", "*?", "#$HOME;&\\n", "n" * 196, "not utf-8 \udce9", "twin", "folder.png/in",
)  # fmt: skip
NAMED = (
    *(shown(f"names/{name}.png", f"PNG named {ascii(name)[:30]}", pil("PNG")) for name in NAMES),
    shown("names/twin.jpg", "JPEG beside a PNG of the same stem", pil("JPEG")),
    shown("names/UPPER.JPG", "JPEG named in upper case", pil("JPEG")),
    Awkward("link.png", lambda path: path.symlink_to("names/a=b.png"), "link to an image", (48, 32), **BASE),
)
SIZED = (
    sized(1, 1, colours=(((0.5, 0.5), YELLOW),), small=True),
    sized(3, 500, small=True),
    sized(500, 3, small=True),
    sized(255, 257),
)
FOREIGN = (
    spurned("empty.jpg", "no bytes", lambda: b"", "empty"),
    spurned("text.jpg", "text named .jpg", lambda: b"A note.\n"),
    spurned("page.png", "HTML named .png", lambda: b"<!DOCTYPE html><title>404 Not Found</title>\n"),
    spurned("drawing.png", "SVG named .png", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>\n'),
    spurned("print.jpg", "PDF named .jpg", lambda: b"%PDF-1.4\n%%EOF\n"),
    *(spurned(f"{form}.png", f"{form} named .png", pil(form)) for form in ("EPS", "PCX", "TGA", "ICO", "JPEG2000")),
)
BROKEN = (
    *(spurned(f"cut.{form}", f"half a {form}", partial(cut, form), "truncated") for form in ("JPEG", "PNG", "TIFF")),
    *(spurned(f"cut.{form}", f"half a {form}", partial(cut, form), "truncated") for form in ("BMP", "GIF", "PPM")),
    spurned("cut.webp", "half a WebP", partial(cut, "WEBP")),
    spurned("header.gif", "GIF, its header alone", lambda: pil("GIF")()[:13]),
    spurned("no-end.jpg", "JPEG without its end marker", lambda: pil("JPEG")()[:-2], "truncated"),
    spurned("checksum.png", "PNG, wrong checksum", lambda: raw.spoil_checksum(pil("PNG", raw.noise)())),
    spurned("zlib.png", "PNG, broken zlib data", lambda: raw.spoil_pixels(pil("PNG", raw.noise)())),
    spurned("half-rows.png", "PNG with half of its rows", lambda: png(quadrants()[:16], 2, claimed=(48, 32))),
    spurned("no-rows.png", "PNG of height 0", lambda: png(quadrants(), 2, claimed=(48, 0))),
    spurned("float.tif", "TIFF of floats", lambda: tiff(quadrants(GREYS, np.float32) / 255, 1), "float"),
    spurned("32-bit.tif", "TIFF of large integers", lambda: tiff(quadrants(WIDE, np.int32) * 1000, 1), "range"),
    spurned("float.npy", "NumPy array of floats", lambda: npy(quadrants(kind=np.float32) / 255), "range"),
    spurned("objects.npy", "NumPy array of pickled objects", lambda: npy(np.array([{"a": 1}], object)), "object"),
    spurned("cut.npy", "NumPy array, cut", lambda: npy(quadrants())[:999]),
)
HUGE = (
    spurned("huge.png", "PNG that claims 100,000²", lambda: png(quadrants(), 2, claimed=(100_000,) * 2), "pixels"),
    spurned("huge.tif", "TIFF that claims 100,000²", lambda: tiff(quadrants(), 2, claimed=(100_000,) * 2), "pixels"),
    spurned("huge.jpg", "JPEG that claims 65,535²", lambda: claim("JPEG", b"\xff\xc0", 5, b"\xff" * 4), "pixels"),
    spurned("huge.gif", "GIF that claims 65,535²", lambda: claim("GIF", b"GIF8", 6, b"\xff" * 4), "pixels"),
    spurned("huge.webp", "WebP that claims 16,384²", lambda: claim("WEBP", b"VP8L", 9, b"\xff\xff\xff\x0f"), "pixels"),
    spurned("huge.npy", "NumPy array that claims 100,000²", lambda: npy(quadrants()).replace(SMALL, LARGE)),
)
SPECIAL = (
    Awkward("broken-link.png", lambda path: path.symlink_to("nothing.png"), "link to nothing", refused="link"),
    Awkward("circular-link.png", lambda path: path.symlink_to(path.name), "link to itself", refused="link"),
    Awkward("pipe.png", lambda path: os.mkfifo(path), "a pipe", refused="not a regular file"),
)
CORPUS: tuple[Awkward, ...] = (
    *(*TURNED, *STORED, *DEEPER, *CLEAR, *PROFILED, *NAMED, *SIZED),
    *(*FOREIGN, *BROKEN, *HUGE, *SPECIAL),
)

if __name__ == "__main__":
    make_corpus(Path(sys.argv[1]))
