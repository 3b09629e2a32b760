"""Data sets of Hugging Face: images written out as they are stored."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diptych.data.hugging_face import export
from diptych.data.obtain import obtain
from diptych.errors import DataError

datasets = pytest.importorskip("datasets")
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


def keep(content: bytes | None, path: str | None = None) -> dict[str, Any] | None:
    return None if content is None and path is None else {"bytes": content, "path": path}


def write(path: Path, columns: Mapping[str, Sequence[Any]], **features: Any) -> Path:
    """Write a parquet file; a column is of images unless a feature is given for it."""
    described = {name: features.get(name, datasets.Image()) for name in columns}
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(dict(columns), features=datasets.Features(described)).to_parquet(path)
    return path


def read(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("*/*")}


def refuse(source: str, root: Path, columns: Sequence[str] | None = None) -> str:
    """Return the one line with which the export is refused, having seen that it left nothing behind."""
    before = sorted(root.parent.iterdir())
    with pytest.raises(DataError) as caught:
        export(source, root, columns)
    assert sorted(root.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_paired_rows_share_a_name(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"imageA": [keep(draw(0))], "imageB": [keep(draw(1))]})
    export(f"parquet:{file}", tmp_path / "out", paired=True)
    assert read(tmp_path / "out") == {"trainA/000000.jpg": draw(0), "trainB/000000.jpg": draw(1)}


def test_two_columns_become_two_domains(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = [draw(0), draw(1), None], [draw(2, ".png"), None, draw(3)]
    write(tmp_path / "set/train-00000.parquet", {"imageB": [keep(x) for x in b], "imageA": [keep(x) for x in a]})
    write(tmp_path / "set/test-00000.parquet", {"imageB": [keep(draw(4))], "imageA": [keep(draw(5))]})
    export(f"parquet:{tmp_path / 'set'}", tmp_path / "out")
    assert read(tmp_path / "out") == {
        "trainA/a000000.jpg": a[0],
        "trainA/a000001.jpg": a[1],
        "trainB/b000000.png": b[0],
        "trainB/b000002.jpg": b[2],
        "testA/a000000.jpg": draw(5),
        "testB/b000000.jpg": draw(4),
    }
    assert "A is imageA, B is imageB\n" in capsys.readouterr().err
    note = json.loads((tmp_path / "out/.diptych-source.json").read_text())
    assert note["columns"] == ["imageA", "imageB"]
    assert not list(cache.rglob("*.arrow"))  # no second copy of the images


def test_a_class_with_two_values_tells_the_domains_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = datasets.ClassLabel(names=["zebra", "horse"])
    images = [keep(draw(number)) for number in range(5)]
    file = write(tmp_path / "any.parquet", {"image": images, "label": [1, 0, 0, -1, 1]}, label=label)
    export(f"parquet:{file}", tmp_path / "out")
    assert sorted(read(tmp_path / "out")) == [
        *("trainA/a000001.jpg", "trainA/a000002.jpg", "trainB/b000000.jpg", "trainB/b000004.jpg"),
    ]
    assert "A is label zebra, B is label horse\n" in capsys.readouterr().err
    assert read(tmp_path / "out")["trainB/b000004.jpg"] == draw(4)


def test_a_label_of_text_will_do(tmp_path: Path) -> None:
    label = datasets.Value("string")
    columns = {"label": ["photo", "monet"], "picture": [keep(draw(0)), keep(draw(1))]}
    export(f"parquet:{write(tmp_path / 'x.parquet', columns, label=label)}", tmp_path / "out")
    assert read(tmp_path / "out") == {"trainA/a000001.jpg": draw(1), "trainB/b000000.jpg": draw(0)}


def test_columns_can_be_named(tmp_path: Path) -> None:
    columns = {name: [keep(draw(number))] for number, name in enumerate(("mask", "night", "day"))}
    source = f"parquet:{write(tmp_path / 'x.parquet', columns)}"
    assert refuse(source, tmp_path / "out").endswith(
        "neither two image columns nor an image column and a label, but mask, night, day; name the two that are meant"
    )
    export(source, tmp_path / "out", ["day", "night"])
    assert read(tmp_path / "out") == {"trainA/a000000.jpg": draw(2), "trainB/b000000.jpg": draw(1)}
    told = refuse(source, tmp_path / "other", ["day", "dusk"])
    assert told == f"{source}: ['day', 'dusk'] are not an image column and another; it has mask, night, day"


@pytest.mark.parametrize("suffix", FORMATS)
def test_bytes_are_neither_decoded_nor_misnamed(tmp_path: Path, suffix: str) -> None:
    content = draw(0, suffix)
    file = write(tmp_path / "x.parquet", {"a": [keep(content, "wrong.jpeg")], "b": [keep(content)]})
    export(f"parquet:{file}", tmp_path / "out")
    assert read(tmp_path / "out") == {f"trainA/a000000{suffix}": content, f"trainB/b000000{suffix}": content}


def test_an_unknown_format_is_named_by_its_path_or_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"a": [keep(b"\0new", "dir/x.AVIF")], "b": [keep(draw(0))]})
    export(f"parquet:{file}", tmp_path / "out")
    assert read(tmp_path / "out")["trainA/a000000.avif"] == b"\0new"
    file = write(tmp_path / "y.parquet", {"a": [keep(draw(0)), keep(b"\0new")], "b": [None, None]})
    assert (
        refuse(f"parquet:{file}", tmp_path / "no") == f"parquet:{file}, row 1: not an image of a format that is known"
    )


def test_files_that_are_pointed_at_must_be_images(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(draw(0))
    file = write(tmp_path / "x.parquet", {"a": [keep(None, str(tmp_path / "x.jpg"))], "b": [keep(draw(1))]})
    table = {"a": [{"bytes": None, "path": str(tmp_path / "x.jpg")}], "b": [keep(draw(1))]}
    struct = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    file = write(tmp_path / "x.parquet", table, a=struct)
    export(f"parquet:{file}", tmp_path / "out")
    assert read(tmp_path / "out")["trainA/a000000.jpg"] == draw(0)
    (tmp_path / "x.jpg").write_text("secret")
    assert "not an image of a format" in refuse(f"parquet:{file}", tmp_path / "no")
    (tmp_path / "x.jpg").unlink()
    assert "x.jpg cannot be read (No such file" in refuse(f"parquet:{file}", tmp_path / "no")


@pytest.mark.parametrize("names", [("train", "validation"), ("train/0", "test/0"), ("a-train", "a.val")])
def test_splits_follow_the_names(tmp_path: Path, names: tuple[str, str]) -> None:
    for number, name in enumerate(names):
        write(tmp_path / "set" / f"{name}.parquet", {"a": [keep(draw(number))], "b": [keep(draw(9))]})
    export(f"parquet:{tmp_path / 'set'}", tmp_path / "out")
    files = read(tmp_path / "out")
    assert (files["trainA/a000000.jpg"], files["testA/a000000.jpg"]) == (draw(0), draw(1))
    assert len(files) == 4


def test_a_set_of_the_hub_is_loaded_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"imageA": [keep(draw(0)), None], "imageB": [keep(draw(1)), keep(draw(2))]}
    split = datasets.Dataset.from_dict(
        rows, features=datasets.Features({"imageA": datasets.Image(), "imageB": datasets.Image()})
    )
    asked = []

    def load(name: str) -> Any:
        asked.append(name)
        return datasets.DatasetDict({"train": split, "validation": split, "test": split, "extra": split})

    monkeypatch.setattr(datasets, "load_dataset", load)
    export("hf:owner/name", tmp_path / "out")
    assert asked == ["owner/name"]
    assert sorted(read(tmp_path / "out")) == [
        *("testA/a000000.jpg", "testA/a000002.jpg"),
        *(f"testB/b00000{row}.jpg" for row in range(4)),
        *("trainA/a000000.jpg", "trainB/b000000.jpg", "trainB/b000001.jpg"),
    ]
    assert "hf:owner/name: the split extra is left out\n" in capsys.readouterr().err


def test_no_network_is_said_in_one_line(tmp_path: Path) -> None:
    line = refuse("hf:nobody/nothing", tmp_path / "out")
    assert line.startswith("hf:nobody/nothing: cannot be loaded (")
    assert line.endswith("); check the name and the network")


def test_the_library_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    line = refuse("hf:owner/name", tmp_path / "out")
    assert line == "data sets of Hugging Face need their library: pip install 'diptych[huggingface]'"


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    assert refuse(f"parquet:{tmp_path / 'none'}", tmp_path / "out") == f"{tmp_path / 'none'}: no parquet file is there"
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    assert "x.parquet: cannot be loaded (" in refuse(f"parquet:{tmp_path / 'x.parquet'}", tmp_path / "out")
    label = datasets.ClassLabel(names=["cat", "dog", "wild"])
    images = [keep(draw(number)) for number in range(3)]
    file = write(tmp_path / "three.parquet", {"image": images, "label": [0, 1, 2]}, label=label)
    assert refuse(f"parquet:{file}", tmp_path / "out").endswith(
        "label has 3 values (cat, dog, wild) where two are needed"
    )


def test_it_is_obtained_like_any_other_set(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"a": [keep(draw(0))], "b": [keep(draw(1))]})
    for _ in range(2):
        obtain(f"parquet:{file}", tmp_path / "datasets/x")
        file.unlink(missing_ok=True)  # the second time, it is there already
    assert sorted(read(tmp_path / "datasets/x")) == ["trainA/a000000.jpg", "trainB/b000000.jpg"]
