"""The cache of prepared images: the same pixels, decoded once, whatever else happens."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_noise
from PIL import Image

import diptych.data.domain as domain_module
from diptych.data import Domain, Preparation, UnpairedData
from diptych.data.cache import PixelCache, estimate_bytes
from diptych.data.domain import Notes
from diptych.images import PICTURE, Form

PLENTY = 1 << 30


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_noise(tmp_path / "x.png", np.random.default_rng(0))
    return tmp_path / "x.png"


def count(pixels: torch.Tensor) -> tuple[list[int], object]:
    """Return a list that grows with each call of a function that makes the pixels."""
    calls: list[int] = []

    def make() -> torch.Tensor:
        calls.append(1)
        return pixels

    return calls, make


def test_an_image_is_made_once_and_again_when_anything_changes(image: Path, tmp_path: Path) -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    calls, make = count(pixels)
    cache = PixelCache(tmp_path / "cache", PLENTY)
    for other in (cache, cache, PixelCache(tmp_path / "cache", PLENTY)):  # another process
        assert torch.equal(other.load(image, "words", make), pixels)
    assert len(calls) == 1
    cache.load(image, "other words", make)
    assert len(calls) == 2
    os.utime(image, ns=(1, 1))
    cache.load(image, "words", make)
    assert len(calls) == 3
    image.write_bytes(image.read_bytes() + b" ")
    os.utime(image, ns=(1, 1))
    cache.load(image, "words", make)
    assert len(calls) == 4


def test_mapped_pixels_can_be_changed_without_changing_the_cache(image: Path, tmp_path: Path) -> None:
    _, make = count(torch.zeros(3, 4, 4, dtype=torch.uint8))
    cache = PixelCache(tmp_path / "cache", PLENTY)
    cache.load(image, "", make)
    cache.load(image, "", make).add_(1)
    assert cache.load(image, "", make).sum() == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_file_is_made_again(damage: str, image: Path, tmp_path: Path) -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    calls, make = count(pixels)
    PixelCache(tmp_path / "cache", PLENTY).load(image, "", make)
    (file,) = (tmp_path / "cache").rglob("*.npy")
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-20], "flipped": content[:-9] + b"\xff" + content[-8:], "emptied": b""}[damage])
    cache = PixelCache(tmp_path / "cache", PLENTY)
    for _ in range(2):
        assert torch.equal(cache.load(image, "", make), pixels)
    assert len(calls) == 2


def test_the_budget_and_a_full_disk_end_writing_only(image: Path, tmp_path: Path) -> None:
    calls, make = count(torch.zeros(3, 4, 4, dtype=torch.uint8))
    small = PixelCache(tmp_path / "cache", budget=100)  # two images of 48 bytes
    for words in "abc":
        small.load(image, words, make)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2
    (tmp_path / "file").write_text("in the way")
    nowhere = PixelCache(tmp_path / "file", PLENTY)
    assert nowhere.load(image, "", make).shape == (3, 4, 4)
    assert nowhere.budget == 0
    assert len(calls) == 4


def test_what_was_used_longest_ago_makes_room(image: Path, tmp_path: Path) -> None:
    _, make = count(torch.zeros(3, 4, 4, dtype=torch.uint8))
    cache = PixelCache(tmp_path / "cache", PLENTY)
    for age, words in enumerate("abcd"):
        cache.load(image, words, make)
        os.utime(cache._find(image, words), (1000 + age, 1000 + age))
    size = cache._find(image, "a").stat().st_size
    leftover, fresh = tmp_path / "cache" / "ab" / ".old.tmp", tmp_path / "cache" / "ab" / ".new.tmp"
    for path in (leftover, fresh):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    os.utime(leftover, (1, 1))
    assert cache.make_room(need=size, limit=3 * size) == size
    assert [cache.holds(image, words) for words in "abcd"] == [False, False, True, True]
    assert (leftover.exists(), fresh.exists()) == (False, True)


def test_many_at_once_agree(image: Path, tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    found: list[bool] = []

    def work() -> None:
        cache = PixelCache(tmp_path / "cache", PLENTY)
        found.extend(torch.equal(cache.load(image, str(n), lambda: pixels), pixels) for n in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80
    names = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(names) == 20
    assert all(name.endswith(".npy") for name in names)


def test_training_decodes_each_image_once(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []
    load = Preparation.load

    def spy(self: Preparation, path: Path, form: Form = PICTURE) -> tuple[torch.Tensor, tuple[str, ...]]:
        decoded.append(path)
        return load(self, path, form)

    monkeypatch.setattr(domain_module.Preparation, "load", spy)

    def read(cache: bool) -> list[dict]:
        data = UnpairedData(str(tiny_data), load_size=20, crop_size=16, workers=0, cache=cache, cache_dir=str(tmp_path))
        return list(data.train_dataloader())

    plain = read(cache=False)
    assert len(decoded) == 10
    first = read(cache=True)
    seen = len(decoded)
    second = read(cache=True)
    assert len(decoded) == seen == 10 + len(set(decoded[10:]))
    for one, *others in zip(plain, first, second, strict=True):
        assert all(torch.equal(one[domain], other[domain]) for other in others for domain in "ab")


def test_floats_are_cached_too(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.linspace(0, 9, 400, dtype=np.float32).reshape(20, 20))
    cache = PixelCache(tmp_path / "cache", PLENTY)
    domain = Domain([tmp_path / "x.npy"], Preparation(20, 20), Form(1, (0, 9)), cache)
    one, other = domain.load(0, Notes()), domain.load(0, Notes())
    assert one.dtype == torch.float32
    assert torch.equal(one, other)
    assert cache.holds(tmp_path / "x.npy", domain.words)


def test_auto_leaves_out_what_would_not_fit(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = UnpairedData(str(tiny_data), load_size=20, crop_size=16, workers=0, cache_dir=str(tmp_path), cache_gib=1e-6)
    list(data.train_dataloader())
    assert "no cache: 0.0 GiB are more than data.cache_gib=1e-06" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.npy"))


def test_sizes_are_estimated_from_headers(tmp_path: Path) -> None:
    paths = []
    for index, size in enumerate([(10, 10), (20, 10)]):
        Image.new("RGB", size).save(tmp_path / f"{index}.png")
        paths.append(tmp_path / f"{index}.png")
    assert estimate_bytes(paths, PICTURE, None) == (100 + 200) * 3
    assert estimate_bytes(paths, Form(1, (0, 1)), (8, 8)) == 64 * 4 * 2


def read_cached(cache: PixelCache, image: Path, pixels: torch.Tensor) -> bool:
    """Whether the right pixels come out, whatever lies in the cache."""
    found = cache.load(image, "", lambda: pixels)
    return found.dtype == pixels.dtype and torch.equal(found, pixels)


@pytest.mark.reliability
def test_every_damaged_byte_of_a_header_is_noticed_and_counted(image: Path, tmp_path: Path) -> None:
    """Of those bytes too with which NumPy reads another shape, type or order of axes without a word."""
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    read_cached(PixelCache(tmp_path / "cache", PLENTY), image, pixels)
    (file,) = (tmp_path / "cache").rglob("*.npy")
    whole = file.read_bytes()
    header = whole.index(b"\n") + 1
    assert len(whole) == header + 48 + 4
    for place in range(header):
        for value in (whole[place] ^ 1, whole[place] ^ 0x80, 0, ord(" "), ord("3"), ord("(")):
            if value == whole[place]:
                continue
            file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            cache = PixelCache(tmp_path / "cache", PLENTY)
            assert read_cached(cache, image, pixels), (place, value)
            assert cache.damaged == 1, (place, value)
    assert file.read_bytes() == whole


@pytest.mark.reliability
def test_an_entry_damaged_after_it_was_verified_is_made_again(image: Path, tmp_path: Path) -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    cache = PixelCache(tmp_path / "cache", PLENTY)
    assert read_cached(cache, image, pixels)
    assert read_cached(cache, image, pixels)
    (file,) = (tmp_path / "cache").rglob("*.npy")
    file.write_bytes(file.read_bytes().replace(b"'shape': (3,", b"'shape': (3("))
    assert read_cached(cache, image, pixels)
    assert cache.damaged == 1


@pytest.mark.reliability
def test_a_damaged_entry_is_reported_with_its_image(image: Path, tmp_path: Path) -> None:
    domain = Domain([image], Preparation(20, 20), cache=PixelCache(tmp_path / "cache", PLENTY))
    pixels = domain.load(0, Notes()).clone()
    (file,) = (tmp_path / "cache").rglob("*.npy")
    file.write_bytes(file.read_bytes()[:-7])
    again, notes = Domain([image], Preparation(20, 20), cache=PixelCache(tmp_path / "cache", PLENTY)), Notes()
    assert torch.equal(again.load(0, notes), pixels)
    assert notes.remarks == [("its prepared pixels in the cache were damaged and are made again", str(image))]
