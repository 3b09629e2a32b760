"""Data sets of Hugging Face: images written out as they are stored."""

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diptych.data.hugging_face import export_dataset
from diptych.data.installer import install_dataset
from diptych.errors import DataError

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.reliability

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF", ".ppm": "PPM"}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the library from the network and from the user's cache."""
    cache = tmp_path_factory.mktemp("cache")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    datasets.disable_progress_bars()
    return cache


def draw(number: int, suffix: str = ".jpg") -> bytes:
    """Return the bytes of an image that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, FORMATS[suffix])
    return file.getvalue()


def make(columns: Mapping[str, Sequence[Any]], **features: Any) -> Any:
    """Return a data set whose columns are of images, None or bytes or a file's name, unless a feature is given."""
    described = {name: features.get(name, datasets.Image()) for name in columns}
    table = {
        name: values
        if name in features
        else [value if value is None or isinstance(value, dict) else {"bytes": value, "path": None} for value in values]
        for name, values in columns.items()
    }
    return datasets.Dataset.from_dict(table, features=datasets.Features(described))


def write(path: Path, columns: Mapping[str, Sequence[Any]], **features: Any) -> str:
    """Write a parquet file and return it as a source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make(columns, **features).to_parquet(path)
    return f"parquet:{path}"


def read(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("*/*")}


def refuse(source: str, root: Path, columns: Sequence[str] | None = None) -> str:
    """Return the one line with which the export is refused, having seen that it left nothing behind."""
    before = sorted(root.parent.iterdir())
    with pytest.raises(DataError) as caught:
        export_dataset(source, root, columns)
    assert sorted(root.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_columns_become_two_domains(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = [draw(0), draw(1), None], [draw(2, ".png"), None, draw(3)]
    write(tmp_path / "set/train-00000.parquet", {"imageB": b, "imageA": a})
    write(tmp_path / "set/test-00000.parquet", {"imageB": [draw(4)], "imageA": [draw(5)]})
    export_dataset(f"parquet:{tmp_path / 'set'}", tmp_path / "out")
    assert read(tmp_path / "out") == {
        "trainA/a000000.jpg": a[0],
        "trainA/a000001.jpg": a[1],
        "trainB/b000000.png": b[0],
        "trainB/b000002.jpg": b[2],
        "testA/a000000.jpg": draw(5),
        "testB/b000000.jpg": draw(4),
    }
    assert "A is imageA, B is imageB\n" in capsys.readouterr().err
    assert json.loads((tmp_path / "out/.diptych-source.json").read_text())["columns"] == ["imageA", "imageB"]
    assert not list(cache.rglob("*.arrow"))  # no second copy of the images


def test_paired_rows_share_a_name(tmp_path: Path) -> None:
    source = write(tmp_path / "x.parquet", {"imageA": [draw(0)], "imageB": [draw(1)]})
    for _ in range(2):
        install_dataset(source, tmp_path / "sets/x", paired=True)  # like any other set
        (tmp_path / "x.parquet").unlink(missing_ok=True)  # the second time, it is there already
    assert read(tmp_path / "sets/x") == {"trainA/000000.jpg": draw(0), "trainB/000000.jpg": draw(1)}


def test_a_label_with_two_values_tells_the_domains_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [draw(number) for number in range(5)]
    label = datasets.ClassLabel(names=["zebra", "horse"])
    source = write(tmp_path / "class.parquet", {"image": images, "label": [1, 0, 0, -1, 1]}, label=label)
    export_dataset(source, tmp_path / "out")
    files = read(tmp_path / "out")
    assert sorted(files) == [f"train{name}.jpg" for name in ("A/a000001", "A/a000002", "B/b000000", "B/b000004")]
    assert files["trainB/b000004.jpg"] == draw(4)
    assert "A is label zebra, B is label horse\n" in capsys.readouterr().err
    columns = {"Domain": ["photo", "monet"], "picture": images[:2]}
    export_dataset(write(tmp_path / "x.parquet", columns, Domain=datasets.Value("string")), tmp_path / "text")
    assert read(tmp_path / "text") == {"trainA/a000001.jpg": draw(1), "trainB/b000000.jpg": draw(0)}
    label = datasets.ClassLabel(names=["cat", "dog", "wild"])
    source = write(tmp_path / "three.parquet", {"image": images[:3], "label": [0, 1, 2]}, label=label)
    assert refuse(source, tmp_path / "no").endswith("label has 3 values (cat, dog, wild) where two are needed")


def test_columns_can_be_named(tmp_path: Path) -> None:
    source = write(tmp_path / "x.parquet", {"mask": [draw(0)], "night": [draw(1)], "day": [draw(2)]})
    told = f"{source}: two columns of images are needed, or one and a label; name them with --columns, of "
    assert refuse(source, tmp_path / "out") == f"{told}mask, night, day"
    assert refuse(source, tmp_path / "out", ["day", "dusk"]) == f"{told}mask, night, day"
    export_dataset(source, tmp_path / "out", ["day", "night"])
    assert read(tmp_path / "out") == {"trainA/a000000.jpg": draw(2), "trainB/b000000.jpg": draw(1)}


@pytest.mark.parametrize("suffix", FORMATS)
def test_bytes_are_neither_decoded_nor_misnamed(tmp_path: Path, suffix: str) -> None:
    content = draw(0, suffix)
    source = write(tmp_path / "x.parquet", {"a": [{"bytes": content, "path": "wrong.jpeg"}], "b": [content]})
    export_dataset(source, tmp_path / "out")
    assert read(tmp_path / "out") == {f"trainA/a000000{suffix}": content, f"trainB/b000000{suffix}": content}


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "y.parquet", {"a": [draw(0), b"\0new"], "b": [None, None]})
    assert refuse(source, tmp_path / "no") == f"{source}, train row 1: not an image of a format that is known"


def test_rows_of_a_file_point_at_no_other(tmp_path: Path) -> None:
    """A parquet file that somebody gives away reads nothing of who exports it."""
    pointed = tmp_path / "x.jpg"
    pointed.write_bytes(draw(0))
    struct = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}  # as other programs write it
    for place in (pointed, Path("/dev/zero"), tmp_path / "none"):
        table = {"a": [{"bytes": None, "path": str(place)}], "b": [draw(1)]}
        source = write(tmp_path / "x.parquet", table, a=struct)
        line = f"{source}, train row 0: it names the file {place} instead of holding an image"
        assert refuse(source, tmp_path / "no") == line


def test_a_set_of_the_hub_points_at_what_was_downloaded(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    struct = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    for folder, message in ((cache, ""), (tmp_path, "it names the file")):
        (folder / "x.jpg").write_bytes(draw(0))
        split = make({"a": [{"bytes": None, "path": str(folder / "x.jpg")}], "b": [draw(1)]}, a=struct)
        monkeypatch.setattr(datasets, "load_dataset", lambda name, split=split: datasets.DatasetDict({"train": split}))
        if message:
            assert message in refuse("hf:owner/name", tmp_path / "no")
        else:
            export_dataset("hf:owner/name", tmp_path / "out")
            assert read(tmp_path / "out")["trainA/a000000.jpg"] == draw(0)
    (cache / "x.jpg").unlink()
    os.mkfifo(cache / "x.jpg")
    split = make({"a": [{"bytes": None, "path": str(cache / "x.jpg")}], "b": [draw(1)]}, a=struct)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict({"train": split}))
    assert "is no image's file" in refuse("hf:owner/name", tmp_path / "no")


@pytest.mark.parametrize("names", [("train", "validation"), ("train/0", "test/0"), ("a-train", "a.val")])
def test_splits_follow_the_names(tmp_path: Path, names: tuple[str, str]) -> None:
    for number, name in enumerate(names):
        write(tmp_path / "set" / f"{name}.parquet", {"a": [draw(number)], "b": [draw(9)]})
    export_dataset(f"parquet:{tmp_path / 'set'}", tmp_path / "out")
    files = read(tmp_path / "out")
    assert (files["trainA/a000000.jpg"], files["testA/a000000.jpg"], len(files)) == (draw(0), draw(1), 4)


def test_a_set_of_the_hub_is_loaded_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    split = make({"imageA": [draw(0), None], "imageB": [draw(1), draw(2)]})
    splits = dict.fromkeys(("train", "validation", "test", "extra"), split)
    loaded = {"owner/name": splits, "owner/one": {"full": split}, "owner/odd": {"trainA": split, "trainB": split}}
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(loaded[name]))
    export_dataset("hf:owner/name", tmp_path / "out")
    assert sorted(read(tmp_path / "out")) == [
        *("testA/a000000.jpg", "testA/a000002.jpg"),
        *(f"testB/b00000{row}.jpg" for row in range(4)),
        *("trainA/a000000.jpg", "trainB/b000000.jpg", "trainB/b000001.jpg"),
    ]
    assert "hf:owner/name: the split extra is left out\n" in capsys.readouterr().err
    export_dataset("hf:owner/one", tmp_path / "one")
    assert len(read(tmp_path / "one")) == 3
    assert refuse("hf:owner/odd", tmp_path / "no") == "hf:owner/odd: none of its splits is named train"


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refuse("hf:nobody/nothing", tmp_path / "out")
    assert line.startswith("hf:nobody/nothing: cannot be read (")
    assert line.endswith("); check name and network")
    assert refuse(f"parquet:{tmp_path / 'none'}", tmp_path / "out") == f"{tmp_path / 'none'}: no such file or folder"
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    assert "x.parquet: cannot be read (" in refuse(f"parquet:{tmp_path / 'x.parquet'}", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "datasets", None)
    line = refuse("hf:owner/name", tmp_path / "out")
    assert line == "data sets of Hugging Face need their library: pip install 'diptych[huggingface]'"
