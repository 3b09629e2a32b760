"""Finding the images of a data set: folders in, sorted paths out, or one line that says what is missing."""

import os
from pathlib import Path

from diptych.errors import DataError
from diptych.images import SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """Return all images below the folder, sorted; links to folders are followed, hidden files are not."""
    if not folder.is_dir():
        return []
    found = []
    seen: set[tuple[int, int]] = set()
    for directory, subfolders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        status = Path(directory).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back to a folder above would be followed for ever
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [Path(directory, name) for name in names if _is_image(name)]
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror})") from None


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def require_images(folder: Path, key: str) -> list[Path]:
    """Return the folder's images; `DataError` names the folder and the key that chose it when there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; put the images there or set {key}")
    images = list_images(folder)
    if not images:
        raise DataError(f"{folder}: no images in it (looked for {' '.join(SUFFIXES)}); fill it or set {key}")
    return images
