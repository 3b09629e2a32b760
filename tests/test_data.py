"""Data: what is drawn, what is found, what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_noise
from PIL import Image

from diptych.data import EpochBatches, Preparation, UnpairedData, UnpairedImages, list_images, seed_generator
from diptych.errors import DataError, UserError
from diptych.images import draw_grid, normalise, read_image, read_tensor, to_pixels, write_image


def make_data(root: Path, **changes: object) -> UnpairedData:
    return UnpairedData(str(root), load_size=20, crop_size=16, workers=0, **changes)  # type: ignore[arg-type]


def test_pixels_survive_the_round_trip() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    images = normalise(pixels)
    assert images.min() == -1
    assert images.max() == 1
    assert torch.equal(to_pixels(images), pixels)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".bmp", ".tif"])
def test_written_images_are_read_back(tmp_path: Path, suffix: str) -> None:
    image = torch.linspace(-1, 1, 48).reshape(3, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    write_image(image, tmp_path / "new" / f"x{suffix}")
    assert (read_tensor(tmp_path / "new" / f"x{suffix}") - image).abs().mean() < 0.05
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"x{suffix}"]


def test_image_modes_become_rgb(tmp_path: Path) -> None:
    red = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    red.putpixel((0, 0), (255, 0, 0, 255))
    red.save(tmp_path / "alpha.png")
    seen = read_image(tmp_path / "alpha.png")
    assert (seen.getpixel((0, 0)), seen.getpixel((1, 1))) == ((255, 0, 0), (255, 255, 255))
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)
    upright = Image.new("RGB", (4, 2))
    exif = upright.getexif()
    exif[0x0112] = 6
    upright.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").size == (2, 4)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_unreadable_images_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: not a readable image"):
        read_image(path)


def test_grid_has_a_cell_per_image() -> None:
    sheet = draw_grid([("left", torch.ones(2, 3, 8, 8)), ("right", -torch.ones(2, 3, 8, 8))], scale=2)
    assert sheet.size == (2 * 18 + 2, 2 * 18 + 2 + 16)
    assert sheet.getpixel((20 + 8, 18 + 8)) == (0, 0, 0)


def test_images_are_found_in_nested_folders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("b.png", "deep/er/a.PNG", ".hidden.png", ".cache/c.png"):
        write_noise(tmp_path / name, random)
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["b.png", "deep/er/a.PNG"]


def test_an_epoch_shows_every_image_of_the_larger_domain(tiny_data: Path) -> None:
    data = make_data(tiny_data, batch_size=2)
    batches = EpochBatches(5, 2, seed=3)
    assert data.images_per_epoch == 5
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert sorted(index for batch in batches for _, index in batch) == list(range(5))
    loaded = list(data.train_dataloader())
    assert [batch["a"].shape for batch in loaded] == [(2, 3, 16, 16), (2, 3, 16, 16), (1, 3, 16, 16)]
    assert all(batch[domain].abs().max() <= 1 for batch in loaded for domain in "ab")


def test_batches_are_a_function_of_seed_and_iteration() -> None:
    whole = [batch for epoch in range(3) for batch in EpochBatches(7, 2, 0, iteration=lambda e=epoch: 4 * e)]
    assert whole != [batch for epoch in range(3) for batch in EpochBatches(7, 2, 1, iteration=lambda e=epoch: 4 * e)]
    for iteration in range(12):
        rest = list(EpochBatches(7, 2, 0, iteration=lambda i=iteration: i))
        assert rest == whole[iteration : 4 * (iteration // 4 + 1)]


@pytest.mark.parametrize("items", [1, 5, 8])
def test_processes_share_an_epoch(items: int) -> None:
    ranks = [list(EpochBatches(items, 2, 0, rank=rank, processes=2)) for rank in range(2)]
    assert [len(batch) for batch in ranks[0]] == [len(batch) for batch in ranks[1]]
    seen = {index for rank in ranks for batch in rank for _, index in batch}
    assert seen == set(range(items))
    single = [draw for batch in EpochBatches(items, 4, 0) for draw in batch]
    shared = [draw for pair in zip(*ranks, strict=True) for both in zip(*pair, strict=True) for draw in both]
    assert shared[:items] == single


def test_draws_are_a_function_of_seed_epoch_and_index(tiny_data: Path) -> None:
    data = make_data(tiny_data)
    make = lambda seed: UnpairedImages(data.train_paths["a"], data.train_paths["b"], data.preparation, seed, False)  # noqa: E731
    images = make(0)
    for draw in [(0, 0), (1, 0), (0, 4)]:
        assert torch.equal(images[draw]["a"], make(0)[draw]["a"])
        assert torch.equal(images[draw]["b"], make(0)[draw]["b"])
    assert not torch.equal(images[0, 0]["a"], images[1, 0]["a"])
    assert not torch.equal(images[0, 0]["a"], make(1)[0, 0]["a"])
    partners = {tuple(images[epoch, 0]["b"].flatten()[:8].tolist()) for epoch in range(20)}
    assert len(partners) > 3


def test_cached_images_are_the_same(tiny_data: Path) -> None:
    data = make_data(tiny_data)
    cached, plain = (
        UnpairedImages(data.train_paths["a"], data.train_paths["b"], data.preparation, 0, cache)
        for cache in (True, False)
    )
    for _ in range(2):
        assert torch.equal(cached[0, 1]["b"], plain[0, 1]["b"])


def test_workers_change_nothing(tiny_data: Path) -> None:
    alone = list(make_data(tiny_data, cache=False).train_dataloader())
    shared = make_data(tiny_data, cache=False)
    shared.workers = 2
    for one, other in zip(alone, shared.train_dataloader(), strict=True):
        assert torch.equal(one["a"], other["a"])
        assert torch.equal(one["b"], other["b"])


def test_crops_and_flips_are_all_drawn() -> None:
    preparation = Preparation(load_size=3, crop_size=2)
    pixels = torch.arange(27, dtype=torch.uint8).reshape(3, 3, 3)
    seen = {tuple(preparation.vary(pixels, seed_generator(i)).flatten().tolist()) for i in range(200)}
    assert len(seen) == 4 * 2
    straight = Preparation(3, 2, flip=False)
    assert len({tuple(straight.vary(pixels, seed_generator(i)).flatten().tolist()) for i in range(200)}) == 4


def test_two_folders_without_a_root(tiny_data: Path) -> None:
    data = make_data(tiny_data)
    apart = UnpairedData(path_a=str(tiny_data / "trainA"), path_b=str(tiny_data / "trainB"), workers=0)
    assert apart.train_paths == data.train_paths
    assert apart.test_paths == {"a": [], "b": []}
    assert not apart.aligned
    assert len(apart.sample_paths("a", 2)) == 2


def test_swap_exchanges_the_domains(tiny_data: Path) -> None:
    data = make_data(tiny_data, swap=True, domains=["monet", "photo"])
    assert len(data.train_paths["a"]) == 3
    assert data.names == {"a": "photo", "b": "monet"}
    assert data.aligned
    assert data.find_partners("a", data.sample_paths("a", 1)) == data.test_paths["b"][:1]


def test_missing_and_empty_folders_are_named(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/trainA: no such folder.*data\.root.*ask Bob"):
        make_data(tmp_path / "nowhere", hint="ask Bob")
    shutil.copytree(tiny_data / "trainA", tmp_path / "trainA")
    (tmp_path / "trainB").mkdir()
    with pytest.raises(DataError, match=r"trainB: no images in it \(looked for \.png"):
        make_data(tmp_path)
    with pytest.raises(UserError, match=r"set data\.root, or data\.path_a"):
        UnpairedData()


@pytest.mark.parametrize(
    "changes",
    [{"load_size": 8, "crop_size": 16}, {"batch_size": 0}, {"workers": -1}, {"domains": ["one"]}],
    ids=str,
)
def test_senseless_settings_are_refused(tiny_data: Path, changes: dict) -> None:
    with pytest.raises(UserError, match=r"data\.|domains"):
        UnpairedData(str(tiny_data), **changes)
