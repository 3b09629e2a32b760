"""The awkward images themselves: pictures, and files written byte by byte where PIL will not write such a thing."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageCms

COLOURS = RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 160, 40), (40, 60, 200), (230, 210, 40)
GREYS = (20, 128, 176, 240)
ALPHAS = (255, 128, 0, 64)
PALETTE = bytes(value for colour in COLOURS for value in colour)
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF's orientation: PIL's transposition from upright to stored
OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "MPO": {"quality": 95}, "WEBP": {"lossless": True}}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
SHORT_TAGS = {258, 259, 262, 274, 277, 338, 339}  # TIFF's; the others are written as longs
D50 = (0.9642, 1.0, 0.8249)
# The primaries of sRGB adapted to D50, as its ICC profile lists them.
PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def quadrants(values: Sequence[Any] = COLOURS, kind: type = np.uint8, size: tuple[int, int] = (48, 32)) -> np.ndarray:
    """Return an array whose quadrants hold the four values; `size` is (width, height)."""
    right, low = (np.arange(side) >= side // 2 for side in size)
    return np.array(values, kind)[2 * low[:, None] + right]


def with_alpha(values: Sequence[Any] = COLOURS) -> np.ndarray:
    """Return the quadrants with a different opacity in each."""
    return quadrants([(*np.atleast_1d(value), alpha) for value, alpha in zip(values, ALPHAS, strict=True)])


def premultiplied() -> np.ndarray:
    """Return the colours multiplied by their opacity."""
    pixels = with_alpha().astype(int)
    pixels[..., :3] = (pixels[..., :3] * pixels[..., 3:] + 127) // 255
    return pixels.astype(np.uint8)


def deepen(pixels: np.ndarray) -> np.ndarray:
    """Return 8-bit samples as 16-bit ones: 255 becomes 65535."""
    return pixels.astype(np.uint16) * 257


def base() -> Image.Image:
    """Return the picture that most files show."""
    return Image.fromarray(quadrants())


def greys() -> Image.Image:
    """Return the picture in four greys."""
    return Image.fromarray(quadrants(GREYS))


def bits() -> Image.Image:
    """Return the picture in black and white."""
    return Image.fromarray(quadrants((0, 255, 255, 0))).convert("1")


def cmyk() -> Image.Image:
    """Return the picture in inks."""
    return base().convert("CMYK")


def lab() -> Image.Image:
    """Return the picture in CIELAB."""
    srgb, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.buildTransform(srgb, target, "RGB", "LAB").apply(base())
    image.info.clear()  # a profile that tells the time of day
    return image


def indexed() -> Image.Image:
    """Return the picture with a palette of its four colours."""
    image = Image.fromarray(quadrants(range(4)))
    image.putpalette(PALETTE)
    return image


def turned(value: int) -> Image.Image:
    """Return the picture as a camera stores it that calls this its EXIF orientation."""
    return base().transpose(Image.Transpose(TURNS[value])) if value in TURNS else base()


def noise() -> Image.Image:
    """Return a picture that hardly compresses, so that half of its file is half of its pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return the file that PIL writes."""
    file = io.BytesIO()
    image.save(file, form, **OPTIONS.get(form, {}) | options)
    return file.getvalue()


def pil(form: str, draw: Callable[[], Image.Image] = base, **options: Any) -> Callable[[], bytes]:
    """Return what makes PIL draw and write this when called."""
    return lambda: encode(draw(), form, **options)


def pil_twice(form: str, draw: Callable[[], Image.Image] = base) -> Callable[[], bytes]:
    """Return the same for a file of two frames, of which the second is white."""
    # A new second frame for each file: PIL leaves the settings of its last encoder in the image.
    return lambda: encode(draw(), form, save_all=True, append_images=[Image.new("RGB", (48, 32), "white")])


def png(
    pixels: np.ndarray,
    kind: int,
    depth: int = 8,
    extra: Sequence[tuple[bytes, bytes]] = (),
    interlaced: bool = False,
    claimed: tuple[int, int] | None = None,
) -> bytes:
    """Return a PNG of H×W or H×W×C samples; `kind` is its colour type, `claimed` a false (width, height)."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", *(claimed or (width, height)), depth, kind, 0, 0, interlaced)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    lines = b"".join(_png_lines(pixels[top::down, left::right], depth) for top, left, down, right in passes)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks)


def _png_lines(pixels: np.ndarray, depth: int) -> bytes:
    """Return the scan lines, each behind the filter type 0."""
    lines = pixels.reshape(len(pixels), -1)
    if depth < 8:
        single = np.unpackbits(lines.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        lines = np.packbits(single.reshape(len(lines), -1), axis=-1)
    return b"".join(b"\0" + line.astype(">u2" if depth == 16 else np.uint8).tobytes() for line in lines)


def _chunk(name: bytes, data: bytes) -> bytes:
    """Return one chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def grey_png(depth: int, values: Sequence[int], *extra: tuple[bytes, bytes]) -> bytes:
    """Return a grey PNG of 1 to 16 bits."""
    return png(quadrants(values, np.uint16), 0, depth, extra)


def palette_png(alphas: bytes) -> bytes:
    """Return a PNG of two bits per pixel whose palette has the given opacities."""
    return png(quadrants(range(4)), 3, 2, [(b"PLTE", PALETTE), (b"tRNS", alphas)])


def transparent(*samples: int) -> tuple[bytes, bytes]:
    """Return the chunk that makes one grey or colour transparent."""
    return b"tRNS", struct.pack(f">{len(samples)}H", *samples)


def spoil_checksum(data: bytes) -> bytes:
    """Return the PNG with a wrong checksum behind an IDAT chunk whose data are sound."""
    start = data.index(b"IDAT") - 4
    end = start + 8 + struct.unpack_from(">I", data, start)[0]
    return data[:end] + bytes(255 - byte for byte in data[end : end + 4]) + data[end + 4 :]


def spoil_pixels(data: bytes) -> bytes:
    """Return the PNG with zlib data that are broken, and a checksum that says they are as they should be."""
    start, end = data.index(b"IDAT") + 4, data.index(b"IEND") - 8
    middle = start + (end - start) // 2
    spoilt = data[start:middle] + b"\xff" * 64 + data[middle + 64 : end]
    return data[: start - 8] + _chunk(b"IDAT", spoilt) + data[end + 4 :]


def overwrite(data: bytes, mark: bytes, skip: int, new: bytes) -> bytes:
    """Return the file with `new` written `skip` bytes past the start of `mark`."""
    start = data.index(mark) + skip
    return data[:start] + new + data[start + len(new) :]


def tiff(
    pixels: np.ndarray,
    photometric: int,
    order: str = "<",
    alpha: int | None = None,
    claimed: tuple[int, int] | None = None,
) -> bytes:
    """Return a TIFF of one strip; `alpha` is 1 if premultiplied and 2 if not, `claimed` a false (width, height)."""
    height, width = claimed[::-1] if claimed else pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    fields: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [8 * pixels.itemsize] * samples,
        259: [1],
        262: [photometric],
        273: [8],
        277: [samples],
        278: [height],
        279: [len(data)],
        **({338: [alpha]} if alpha else {}),
        339: [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * samples,
    }
    return _tiff_head(order, 8 + len(data)) + data + _directory(fields, order, 8 + len(data))


def _tiff_head(order: str, start: int) -> bytes:
    """Return TIFF's first eight bytes; the list of fields is at `start`."""
    return struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)


def _directory(fields: dict[int, list[int]], order: str, start: int) -> bytes:
    """Return TIFF's list of fields as it stands at `start`, followed by the values that are longer than four bytes."""
    entries, beyond = struct.pack(f"{order}H", len(fields)), b""
    end = start + 2 + 12 * len(fields) + 4
    for tag, values in fields.items():
        short = tag in SHORT_TAGS
        packed = struct.pack(f"{order}{len(values)}{'H' if short else 'I'}", *values)
        if len(packed) > 4:
            packed, beyond = struct.pack(f"{order}I", end + len(beyond)), beyond + packed
        entries += struct.pack(f"{order}HHI", tag, 3 if short else 4, len(values)) + packed.ljust(4, b"\0")
    return entries + bytes(4) + beyond


def orientation(value: int, order: str = "<") -> bytes:
    """Return an EXIF block that says nothing but the orientation."""
    return b"Exif\0\0" + _tiff_head(order, 8) + _directory({274: [value]}, order, 8)


def bmp_top_down(pixels: np.ndarray) -> bytes:
    """Return a 32-bit BMP stored top row first, whose fourth byte is unused and zero."""
    height, width = pixels.shape[:2]
    data = np.dstack([pixels[..., ::-1], np.zeros((height, width), np.uint8)]).tobytes()
    details = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 32, 0, len(data), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(data), 0, 0, 54) + details + data


def cmyk_without_adobe() -> bytes:
    """Return a CMYK JPEG without the APP14 segment that alone says inks are stored inverted: here they are not."""
    data = encode(ImageChops.invert(cmyk()), "JPEG")
    start = data.index(b"\xff\xee\0\x0eAdobe")
    return data[:start] + data[start + 16 :]


def ycck() -> bytes:
    """Return a CMYK JPEG whose inks C, M and Y are stored as YCbCr, as Photoshop writes it."""
    inverted = ImageChops.invert(base()).convert("YCbCr")
    channels = [ImageChops.invert(channel) for channel in inverted.split()]  # for PIL inverts when it writes
    data = encode(Image.merge("CMYK", [*channels, Image.new("L", inverted.size, 0)]), "JPEG")
    return overwrite(data, b"Adobe", 11, b"\x02")  # the transform: 0 is CMYK, 2 is YCCK


def npy(array: np.ndarray) -> bytes:
    """Return the array as a NumPy file; objects are pickled."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def rgb_profile(primaries: Sequence[Sequence[float]] = PRIMARIES) -> bytes:
    """Return an ICC profile with these primaries, and the curve of sRGB as a table that is exact for 8-bit values."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    curve = b"curv" + struct.pack(">II", 0, 256) + np.rint(linear * 65535).astype(">u2").tobytes()
    tags = {letter + b"XYZ": _xyz(xyz) for letter, xyz in zip((b"r", b"g", b"b"), primaries, strict=True)}
    return _profile(b"RGB ", tags | {letter + b"TRC": curve for letter in (b"r", b"g", b"b")})


def grey_profile() -> bytes:
    """Return an ICC profile of linear grey: a curve without entries is the identity."""
    return _profile(b"GRAY", {b"kTRC": b"curv" + struct.pack(">II", 0, 0)})


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return a display profile of ICC version 2.4."""
    name = b"desc" + struct.pack(">II", 0, 8) + b"awkward\0" + bytes(8 + 3 + 67)
    tags = {b"desc": name, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": _xyz(D50), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    version, date = 0x02400000, (2000, 1, 1, 0, 0, 0)
    head = struct.pack(">I4xI4s4s4s6H4s", start + len(body), version, b"mntr", space, b"XYZ ", *date, b"acsp")
    return (head + bytes(28) + _xyz(D50)[8:]).ljust(128, b"\0") + table + body


def _xyz(values: Sequence[float]) -> bytes:
    """Return an ICC XYZ tag: three numbers with 16 bits behind the point."""
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))
