"""Bad files: found, named, skipped, extra_state."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_noise
from PIL import Image

import diptych.data.index as index_module
from diptych.cli import main
from diptych.data import Domain, Preparation, UnpairedData, list_images
from diptych.data.domain import Notes
from diptych.data.index import Index
from diptych.errors import DataError
from diptych.images import PICTURE, load_image

pytestmark = pytest.mark.reliability


@pytest.fixture
def spoiled(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny data with a cut-off image in trainA and an empty one among the tests."""
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    whole = (root / "trainA" / "1.png").read_bytes()
    (root / "trainA" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "testB" / "0.png").write_bytes(b"")
    return root


def make_data(root: Path, **changes: object) -> UnpairedData:
    cache = str(root.parent / "cache")
    settings: dict = {"load_size": 20, "crop_size": 16, "workers": 0, "cache_dir": cache} | changes
    return UnpairedData(str(root), **settings)


def test_a_bad_file_stops_training_by_name(spoiled: Path) -> None:
    with pytest.raises(DataError, match=r"trainA/1\.png: not a readable image .*data\.on_error=skip"):
        list(make_data(spoiled).train_dataloader())


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_leaves_bad_files_out_from_the_start(spoiled: Path, workers: int) -> None:
    data = make_data(spoiled, on_error="skip", workers=workers)
    assert [Path(path).name for path, _ in data.skipped] == ["1.png", "0.png"]
    assert all(name in reason for name, reason in data.skipped)
    assert len(data.train_paths["a"]) == data.images_per_epoch == 4
    assert data.aligned  # the partner of the bad test image is left out too
    assert [path.name for path in data.test_paths["a"]] == ["1.png"]
    batches = list(data.train_dataloader())
    assert len(batches) == 4
    assert all(batch["skipped"] == [] for batch in batches)


def test_a_file_that_spoils_during_training_is_replaced_and_reported_once(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    data = make_data(root, on_error="skip", cache=False)
    loader = data.train_dataloader()
    (root / "trainA" / "2.png").unlink()
    (root / "trainB" / "0.png").write_bytes(b"no image")
    lines = [line for _ in range(3) for batch in loader for line in batch["skipped"]]
    assert sorted(Path(path).name for path, _ in lines) == ["0.png", "2.png"]
    assert any("no such image" in reason for _, reason in lines)
    for path in (root / "trainA").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="none of its 5 images can be read"):
        list(loader)


def test_a_vanished_file_is_named(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    for cache in (True, False):
        loader = make_data(root, cache=cache).train_dataloader()
        shutil.rmtree(root / "trainA")
        with pytest.raises(DataError, match=r"trainA/\d\.png: (no such image|No such file)"):
            list(loader)
        shutil.copytree(tiny_data / "trainA", root / "trainA")


def test_replacement_is_a_function_of_the_files(spoiled: Path) -> None:
    paths = list_images(spoiled / "trainA")
    domain, notes = Domain(paths, Preparation(20, 16), skip=True), Notes()
    assert torch.equal(domain.load(1, notes), domain.load(2, notes))
    assert [path for path, _ in notes.skipped] == [str(paths[1])]


def test_only_bad_files_is_an_error_also_with_skip(spoiled: Path) -> None:
    for path in (spoiled / "trainB").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"trainB: none of its 3 images can be used"):
        make_data(spoiled, on_error="skip")


def test_small_images_are_refused_or_skipped(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    Image.new("RGB", (15, 300)).save(root / "trainB" / "thin.png")
    with pytest.raises(DataError, match=r"thin\.png: 15×300 pixels are too small for data\.min_size=16"):
        for _ in range(9):
            list(make_data(root, cache=False, seed=_).train_dataloader())
    assert len(make_data(root, on_error="skip").train_paths["b"]) == 3
    with pytest.raises(DataError, match=r"thin\.png: 15×300 pixels are too small"):  # the index knows it now
        make_data(root)
    with pytest.raises(DataError, match=r"40×36 pixels are too small for data\.crop_size=39, and 4 more"):
        make_data(root, preset="crop", crop_size=39)


def test_an_index_is_reused_and_forgets_changed_files(
    spoiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(index_module, "load_image", lambda p, form: (decoded.append(p.name), load_image(p, form))[1])
    paths = list_images(spoiled / "trainA")
    index = Index(spoiled / "trainA", PICTURE, tmp_path)
    index.check(paths)
    assert len(decoded) == 5
    assert [path for path in paths if index.entry(path).problem] == [paths[1]]
    assert index.entry(paths[0]).width == 40
    assert len(index.entry(paths[0]).sha256) == 64
    again = Index(spoiled / "trainA", PICTURE, tmp_path)
    again.check(paths)
    assert len(decoded) == 5
    write_noise(paths[1], np.random.default_rng(9))
    os.utime(paths[0])
    again.check(paths)
    assert sorted(decoded[5:]) == ["0.png", "1.png"]
    assert not any(again.entry(path).problem for path in paths)
    again.path.write_text("{damaged")
    assert Index(spoiled / "trainA", PICTURE, tmp_path).entries == {}


def test_what_an_index_knows_is_said_before_training(spoiled: Path) -> None:
    for folder in ("trainA", "testB"):
        index = Index(spoiled / folder, PICTURE, spoiled.parent / "cache")
        index.check(list_images(spoiled / folder))
    with pytest.raises(DataError, match=r"1\.png: not a readable image"):
        make_data(spoiled)


def test_check_prints_a_table_and_what_is_wrong(
    spoiled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(spoiled.parent))
    shutil.copy(spoiled / "trainB" / "1.png", spoiled / "testB" / "seen.png")
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(spoiled / "trainB" / "moving.gif", save_all=True, append_images=frames[1:])
    assert main(["data", "check", str(spoiled)]) == 4
    text = " ".join(capsys.readouterr().out.split())
    assert "trainA │ 5 │ 1 │ 40×36" in text
    assert "error: " in text and "trainA/1.png: not a readable image" in text.replace(str(spoiled), "…")
    assert "testB/0.png: not a readable image (the file is empty)" in text
    assert "seen.png: the same file is in testB and in trainB" in text
    assert "moving.gif: several frames or pages: the first frame is taken" in text
    (file, *_) = (spoiled.parent / "diptych" / "indexes").glob("trainA-*.json")
    assert len(json.loads(file.read_text())["files"]) == 5
    for bad in ("trainA/1.png", "testB/0.png"):
        (spoiled / bad).unlink()
    assert main(["data", "check", str(spoiled / "trainA")]) == 0
    assert main(["data", "check", str(spoiled / "nowhere")]) == 4
    (spoiled / "empty").mkdir()
    assert main(["data", "check", str(spoiled / "empty")]) == 4


def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    write_noise(tmp_path / "in" / "x.png", np.random.default_rng(0))
    (tmp_path / "in" / "back").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert [path.name for path in list_images(tmp_path / "in")].count("x.png") == 1


def test_hidden_trouble_with_an_index_costs_nothing(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "indexes").write_text("in the way")
    index = Index(tiny_data / "trainA", PICTURE, tmp_path)
    index.check(list_images(tiny_data / "trainA"))
    assert len(index.entries) == 5


@pytest.mark.parametrize(
    "text",
    [
        *('{"version": 1, "files": []}', '{"version": 1, "files": {"0.png": []}}', "[]", "1", "[" * 10**5, "\xff"),
        '{"version": 1, "files": {"0.png": {"bytes": "1", "modified": 1, "sha256": "", "remarks": []}}}',
        '{"version": 1, "files": {"0.png": {"bytes": 1, "modified": 1, "sha256": 5, "remarks": []}}}',
        '{"version": 1, "files": {"0.png": {"bytes": 1, "modified": 1, "sha256": "", "remarks": [1]}}}',
        '{"version": 1, "files": {"0.png": {"bytes": 1, "modified": 1, "sha256": "", "remarks": [], "more": 1}}}',
    ],
    ids=lambda text: text[:60],
)
def test_a_damaged_index_is_made_again(text: str, tiny_data: Path, tmp_path: Path) -> None:
    folder, paths = tiny_data / "trainA", list_images(tiny_data / "trainA")
    whole = Index(folder, PICTURE, tmp_path)
    whole.check(paths)
    whole.path.write_text(text, encoding="latin-1")
    again = Index(folder, PICTURE, tmp_path)
    assert again.entries == {}
    again.check(paths)
    assert Index(folder, PICTURE, tmp_path).entries == whole.entries


def test_large_files_are_hashed_piece_by_piece(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(300 * 2**20)
    tracemalloc.start()
    try:
        Index(tmp_path, PICTURE, tmp_path / "cache").check([tmp_path / "x.png"])
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    finally:
        tracemalloc.stop()
