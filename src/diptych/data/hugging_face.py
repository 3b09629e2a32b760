"""Image data sets in Hugging Face's format, from the hub or from parquet files, written out as folders of images.

The bytes are written as they are stored: nothing is decoded, so nothing is lost.
"""

import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from diptych.data.catalogue import FOLDERS
from diptych.data.staging import stage_folder, write_note
from diptych.errors import DataError, name_reason
from diptych.images import FORMATS
from diptych.terminal import complain, make_progress

PREFIXES = (HUB, PARQUET) = ("hf:", "parquet:")
_TESTS = ("test", "val", "dev")  # how splits begin that are not for training
_LABELS = ("label", "labels", "class", "domain")
_LARGEST = 2**30  # bytes of an image's file
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}  # the other formats are called like their suffixes


def export_dataset(source: str, root: Path, columns: Sequence[str] | None = None, paired: bool = False) -> None:
    """Write the images of hf:OWNER/NAME or parquet:PATH to `root`'s trainA trainB testA testB.

    `columns` are the image columns of A and B, or an image column and a label with two values; where they are not
    given, the data set must leave no choice. Only where a row's two images are said to be `paired` do they get the same
    name, from which evaluation takes one for the truth of the other.
    """
    with _explain(source):
        splits = _load(source)
        folders = _find_downloads() if source.startswith(HUB) else []
        first, second = _choose_columns(source, splits["train"].features, columns)
        letters = _name_domains(source, splits, first, second)
        splits = _keep_encoded(splits.select_columns([first, second]), [first] if letters else [first, second])
    with stage_folder(root) as staged:
        for folder in FOLDERS:
            (staged / folder).mkdir()
        numbers = {"train": 0, "test": 0}
        for name, split in splits.items():
            side = "train" if name == "train" else "test"
            for row in _read(source, f"{source} {name}", split):
                images = {letters.get(row[second]): row[first]} if letters else {"A": row[first], "B": row[second]}
                for letter, image in images.items():
                    if letter and image and any(image.values()):  # the shorter of two columns is filled up with nothing
                        stem = f"{'' if paired else letter.lower()}{numbers[side]:06d}"
                        where = f"{source}, {name} row {numbers[side]}"
                        _write(image, staged / f"{side}{letter}" / stem, where, folders)
                numbers[side] += 1
        for folder in FOLDERS[:2]:
            if not any((staged / folder).iterdir()):
                raise DataError(f"{source}: it holds no images for {folder}")
        write_note(staged, name=source, columns=[first, second])


@contextmanager
def _explain(source: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError("data sets of Hugging Face need their library: pip install 'diptych[huggingface]'") from error
    except Exception as error:  # of the library, of its transport, of its file formats: there is no common base
        raise DataError(f"{source}: cannot be read ({name_reason(error)[:200]}); check name and network") from error


def _load(source: str) -> Any:
    """Return the splits for training and for testing."""
    import datasets

    path = Path(source.removeprefix(PARQUET))
    if source.startswith(HUB):
        splits = datasets.load_dataset(source.removeprefix(HUB))
    elif path.exists():  # streamed, because the library would otherwise write a copy of all images to its cache
        files = {"data_dir": str(path)} if path.is_dir() else {"data_files": str(path)}
        splits = datasets.load_dataset("parquet", **files, streaming=True)
    else:
        raise DataError(f"{path}: no such file or folder")
    if len(splits) == 1:
        splits["train"] = splits.pop(next(iter(splits)))
    for name in [name for name in splits if name != "train" and not name.startswith(_TESTS)]:
        complain(f"{source}: the split {name} is left out")
        del splits[name]
    if "train" not in splits:
        raise DataError(f"{source}: none of its splits is named train")
    return splits


def _choose_columns(source: str, features: Mapping[str, Any], columns: Sequence[str] | None) -> tuple[str, str]:
    images = sorted(name for name, feature in features.items() if _holds_images(feature))
    labels = [name for name in features if name.lower() in _LABELS]
    chosen = list(columns or (images if len(images) == 2 else images + labels))
    if len(chosen) != 2 or not set(chosen) <= set(features) or chosen[0] not in images:
        raise DataError(
            f"{source}: two columns of images are needed, or one and a label; name them with --columns, "
            f"of {', '.join(features)}"
        )
    return chosen[0], chosen[1]


def _holds_images(feature: Any) -> bool:
    described = type(feature).__name__ == "Image" or (isinstance(feature, dict) and "bytes" in feature)
    return described or getattr(feature, "dtype", "") == "binary"


def _name_domains(source: str, splits: Any, first: str, second: str) -> dict[Any, str]:
    """Return the domain of each value of the second column if that is a label, and say what A and B are."""
    feature = splits["train"].features[second]
    if _holds_images(feature):
        complain(f"{source}: A is {first}, B is {second}")
        return {}
    found = {row[second] for split in splits.select_columns([second]).values() for row in split}
    values = sorted(found - {None, -1})  # -1 is how the library writes an unknown class
    titles = [str(getattr(feature, "int2str", str)(value)) for value in values]
    if len(values) != 2:
        raise DataError(f"{source}: {second} has {len(values)} values ({', '.join(titles[:9])}) where two are needed")
    complain(f"{source}: A is {second} {titles[0]}, B is {second} {titles[1]}")
    return dict(zip(values, "AB", strict=True))


def _keep_encoded(splits: Any, images: Sequence[str]) -> Any:
    import datasets

    for column in images:
        splits = splits.cast_column(column, datasets.Image(decode=False))
    return splits


def _read(source: str, title: str, rows: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    with _explain(source), make_progress(stderr=True, transient=True, disable=not sys.stderr.isatty()) as bars:
        yield from bars.track(rows, description=title)


def _find_downloads() -> list[Path]:
    """Return the folders in which the library keeps what it has downloaded."""
    import datasets
    from huggingface_hub import constants

    places = (datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return [Path(place).resolve() for place in places]


def _read_downloaded(path: Path, folders: Sequence[Path]) -> bytes:
    """Read a file that a row names instead of holding an image: one of the data set's own, and of nobody else's."""
    found = path.resolve()
    if not any(found.is_relative_to(folder) for folder in folders):
        raise ValueError(f"it names the file {path} instead of holding an image")
    if not found.is_file() or found.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is no image's file")
    return found.read_bytes()


def _write(image: Mapping[str, Any], path: Path, where: str, folders: Sequence[Path]) -> None:
    try:
        content = image["bytes"] or _read_downloaded(Path(image["path"]), folders)
        kind = str(Image.open(io.BytesIO(content), formats=FORMATS).format)  # what a file is called proves nothing
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: not an image of a format that is known") from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: {name_reason(error)}") from error
    path.with_suffix(_SUFFIXES.get(kind, f".{kind.lower()}")).write_bytes(content)
