"""Decoders that print nothing of their own: what they find damaged becomes the one line that names the file."""

import ctypes
import logging
import warnings
from contextlib import suppress

from PIL import Image


def silence_decoders() -> None:
    """Turn off, once and for all threads, what libtiff, tifffile and Pillow say on stderr beside their exceptions."""
    for name in ("tifffile", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\.|tifffile")
    with suppress(OSError, AttributeError):  # where Pillow keeps libtiff to itself, its lines remain
        libtiff = ctypes.CDLL(Image.core.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(libtiff, name)(None)
