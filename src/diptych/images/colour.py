"""From whatever a picture file holds to upright 8-bit sRGB, its transparency apart."""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def turn_upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Apply the EXIF orientation; a damaged EXIF block is left aside with a remark."""
    try:
        return ImageOps.exif_transpose(image), []
    except Exception:  # the parser meets damaged bytes with whatever exception it happens to raise
        return image, ["its EXIF block is damaged: taken as upright"]


def to_srgb(image: Image.Image) -> tuple[Image.Image, Image.Image | None, list[str]]:
    """Return the image as 8-bit RGB in sRGB, its alpha band or None, and remarks."""
    remarks: list[str] = []
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image, alpha = _scale_to_8_bits(image)
        remarks.append("16-bit, scaled to 8")
    else:
        image, alpha = _take_alpha(image)
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # PIL takes every CMYK JPEG for one of Adobe's, which hold 255 - ink
    if image.mode not in _SPACES.values():
        image = image.convert("RGB")
    transform, remark = _find_transform(profile, image.mode)
    if transform is not None:
        image = ImageCms.applyTransform(image, transform) or image
    return image.convert("RGB"), alpha, remarks + remark


def _scale_to_8_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Scale 16-bit grey, which PIL's own conversion clips to white."""
    numbers = np.asarray(image).astype(np.int64)
    scaled = Image.fromarray(((numbers * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    alpha = Image.fromarray(np.where(numbers == transparent, 0, 255).astype(np.uint8)) if transparent else None
    return scaled, alpha


def _take_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split off transparency, in whichever of its forms."""
    if image.mode in ("RGBa", "La"):  # colours multiplied by alpha
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        return colours.convert("RGB"), colours.getchannel("A")
    return image, None


def lay_on(image: Image.Image, alpha: Image.Image | None, background: str) -> Image.Image:
    """Composite a transparent RGB image on a plain colour."""
    return image if alpha is None else Image.composite(image, Image.new("RGB", image.size, background), alpha)


def _find_transform(profile: bytes | None, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, list[str]]:
    """Return what turns the mode's colours into sRGB, None where they are sRGB already or say nothing."""
    if mode == "LAB":
        return _build_lab_transform(), []
    if not profile:
        return None, []
    try:
        return _build_transform(profile, mode), []
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None, ["its colour profile is damaged or not for its kind of pixels: taken as sRGB"]


@lru_cache(maxsize=32)
def _build_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if _SPACES.get(source.profile.xcolor_space.strip()) != mode:
        raise ValueError("the profile describes another kind of pixels")
    if "sRGB" in (source.profile.profile_description or ""):
        return None
    target = ImageCms.createProfile("sRGB")
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.buildTransform(source, target, mode, "RGB", renderingIntent=_INTENT, flags=flags)


@lru_cache(maxsize=1)
def _build_lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
