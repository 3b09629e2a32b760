"""Image data sets in Hugging Face's format, from the hub or from parquet files, written out as folders of images.

The bytes are written as they are stored: nothing is decoded, so nothing is lost.
"""

import importlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from diptych.data.archive import growing
from diptych.errors import DataError

HUB = "hf:"
PARQUET = "parquet:"
PREFIXES = (HUB, PARQUET)

_MAGIC = {
    rb"\xff\xd8\xff": ".jpg",
    rb"\x89PNG\r\n\x1a\n": ".png",
    rb"GIF8[79]a": ".gif",
    rb"RIFF....WEBP": ".webp",
    rb"BM": ".bmp",
    rb"II\*\x00|MM\x00\*": ".tif",
    rb"P6\s": ".ppm",
    rb"P5\s": ".pgm",
}
_TEST = re.compile(r"(?<![a-z])(test|val|valid|validation|dev)(?![a-z])")


@dataclass(frozen=True)
class _Plan:
    """Which columns hold the images of A and B, or which label tells them apart."""

    a: str
    b: str
    label: str | None = None
    values: tuple[Any, Any] = (None, None)

    @property
    def images(self) -> list[str]:
        return [self.a] if self.label else [self.a, self.b]

    def sort(self, row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Yield each image of the row beside its domain."""
        if self.label is None:
            yield from (("A", row[self.a]), ("B", row[self.b]))
        elif row[self.label] in self.values:
            yield "AB"[self.values.index(row[self.label])], row[self.a]


def export(source: str, root: Path, columns: Sequence[str] | None = None, paired: bool = False) -> None:
    """Write the images of hf:OWNER/NAME or parquet:PATH to `root`'s trainA trainB testA testB.

    `columns` are the image columns of A and B, or an image column and a label with two values; where they are not
    given, the data set must leave no choice. Only where a row's two images are said to be `paired` do they get the same
    name, from which evaluation takes one for the truth of the other.
    """
    splits = _load(source)
    plan = _make_plan(source, splits, columns)
    with growing(root) as fresh, _show() as progress:
        for folder in ("trainA", "trainB", "testA", "testB"):
            (fresh / folder).mkdir()
        rows = {"train": 0, "test": 0}
        for name, split in splits.items():
            side = "test" if _TEST.search(name) else "train"
            task = progress.add_task(f"{source} {name}", total=getattr(split, "num_rows", None))
            for row in _read(source, _keep_encoded(split, plan)):
                for domain, image in plan.sort(row):
                    name = f"{'' if paired else domain.lower()}{rows[side]:06d}"
                    _write(image, fresh / f"{side}{domain}" / name, f"{source}, row {rows[side]}")
                rows[side] += 1
                progress.advance(task)
        note = {"name": source, "columns": plan.images, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        (fresh / ".diptych-source.json").write_text(json.dumps(note, indent=2) + "\n")


def _say(line: str) -> None:
    Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(line)


def _show() -> Progress:
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _import() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise DataError("data sets of Hugging Face need their library: pip install 'diptych[huggingface]'") from error


def _load(source: str) -> dict[str, Any]:
    datasets = _import()
    try:
        if source.startswith(PARQUET):
            files = _list_parquet(Path(source.removeprefix(PARQUET)))
            # streamed, because the library would otherwise write a copy of all images to its cache
            found = datasets.load_dataset("parquet", data_files=files, streaming=True)
        else:
            found = datasets.load_dataset(source.removeprefix(HUB))
    except DataError:
        raise
    except Exception as error:  # of the library, of its transport, of its file formats: there is no common base
        raise DataError(f"{source}: cannot be loaded ({_shorten(error)}); check the name and the network") from error
    if len(found) == 1:
        return {"train": next(iter(found.values()))}
    wanted = {name: split for name, split in found.items() if name == "train" or _TEST.search(name)}
    for name in found.keys() - wanted.keys():
        _say(f"{source}: the split {name} is left out")
    return wanted


def _shorten(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _list_parquet(path: Path) -> dict[str, list[str]]:
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise DataError(f"{path}: no parquet file is there")
    found: dict[str, list[str]] = {}
    for file in files:
        inside = file.relative_to(path).as_posix() if path.is_dir() else ""
        found.setdefault("test" if _TEST.search(inside.lower()) and len(files) > 1 else "train", []).append(str(file))
    return found


def _read(source: str, split: Iterable[Any]) -> Iterable[Any]:
    rows = iter(split)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f"{source}: cannot be read ({_shorten(error)})") from error
        yield row


def _keep_encoded(split: Any, plan: _Plan) -> Any:
    datasets = _import()
    split = split.select_columns([*plan.images, *([plan.label] if plan.label else [])])
    for column in plan.images:
        split = split.cast_column(column, datasets.Image(decode=False))
    return split


def _make_plan(source: str, splits: Mapping[str, Any], columns: Sequence[str] | None) -> _Plan:
    features = next(iter(splits.values())).features
    if features is None:
        raise DataError(f"{source}: its columns are not described")
    images = [name for name, feature in features.items() if _holds_images(feature)]
    chosen = list(columns or _choose(source, features, images))
    if len(chosen) != 2 or not set(chosen) <= set(features) or chosen[0] not in images:
        raise DataError(f"{source}: {chosen} are not an image column and another; it has {', '.join(features)}")
    if chosen[1] in images:
        _say(f"{source}: A is {chosen[0]}, B is {chosen[1]}")
        return _Plan(chosen[0], chosen[1])
    return _plan_labels(source, splits, chosen[0], chosen[1], features[chosen[1]])


def _holds_images(feature: Any) -> bool:
    described = isinstance(feature, _import().Image)
    return described or (isinstance(feature, dict) and "bytes" in feature) or getattr(feature, "dtype", "") == "binary"


def _choose(source: str, features: Mapping[str, Any], images: list[str]) -> list[str]:
    if len(images) == 2:
        return sorted(images) if images[0][:-1] == images[1][:-1] else images  # imageA before imageB
    labels = [name for name, feature in features.items() if isinstance(feature, _import().ClassLabel)]
    labels = labels or [name for name in features if name.lower() in ("label", "labels", "class", "domain")]
    if len(images) == 1 and len(labels) == 1:
        return [images[0], labels[0]]
    raise DataError(
        f"{source}: neither two image columns nor an image column and a label, but {', '.join(features)}; "
        "name the two that are meant"
    )


def _plan_labels(source: str, splits: Mapping[str, Any], image: str, label: str, feature: Any) -> _Plan:
    rows = (row for split in splits.values() for row in _read(source, split.select_columns([label])))
    values = sorted({row[label] for row in rows} - {None, -1})  # -1 is how the library writes an unknown class
    names = [feature.int2str(value) if isinstance(feature, _import().ClassLabel) else str(value) for value in values]
    if len(values) != 2:
        raise DataError(f"{source}: {label} has {len(values)} values ({', '.join(names[:9])}) where two are needed")
    _say(f"{source}: A is {label} {names[0]}, B is {label} {names[1]}")
    return _Plan(image, image, label, (values[0], values[1]))


def _write(image: Mapping[str, Any] | None, path: Path, where: str) -> None:
    if image is None:  # the shorter of two columns is filled up
        return
    content, named = image.get("bytes"), image.get("path") or ""
    fallback = Path(named).suffix.lower()
    if content is None:
        if not named:
            return
        content, fallback = _read_file(named, where), ""  # what is merely pointed at must show itself an image
    suffix = _sniff(content) or fallback
    if not suffix:
        raise DataError(f"{where}: not an image of a format that is known")
    path.with_suffix(suffix).write_bytes(content)


def _read_file(named: str, where: str) -> bytes:
    try:
        return Path(named).read_bytes()
    except OSError as error:
        raise DataError(f"{where}: {named} cannot be read ({error.strerror})") from error


def _sniff(content: bytes) -> str | None:
    return next((suffix for magic, suffix in _MAGIC.items() if re.match(magic, content[:16], re.DOTALL)), None)
