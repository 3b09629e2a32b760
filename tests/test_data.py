"""Data: what is drawn, what is found, what is refused."""

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_noise

from diptych.data import Domain, EpochBatches, Preparation, UnpairedData, UnpairedImages, list_images
from diptych.errors import DataError, UserError
from diptych.methods import Schedule
from diptych.randomness import seed_generator


def make_data(root: Path, **changes: object) -> UnpairedData:
    return UnpairedData(str(root), load_size=20, crop_size=16, workers=0, **changes)  # type: ignore[arg-type]


def test_images_are_found_in_nested_folders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("b.png", "deep/er/a.PNG", ".hidden.png", ".cache/c.png"):
        write_noise(tmp_path / name, random)
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["b.png", "deep/er/a.PNG"]


def make_domains(data: UnpairedData) -> list[Domain]:
    return [Domain(data.train_paths[domain], data.preparation) for domain in "ab"]


def test_an_epoch_shows_every_image_of_the_larger_domain(tiny_data: Path) -> None:
    data = make_data(tiny_data, batch_size=2)
    batches = EpochBatches(5, 2, seed=3)
    assert data.images_per_epoch == 5
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert sorted(index for batch in batches for _, index in batch) == list(range(5))
    loaded = list(data.train_dataloader())
    assert [batch["a"].shape for batch in loaded] == [(2, 3, 16, 16), (2, 3, 16, 16), (1, 3, 16, 16)]
    assert all(batch[domain].dtype == torch.uint8 for batch in loaded for domain in "ab")
    arrived = data.on_after_batch_transfer(loaded[0], 0)
    assert all(arrived[domain].dtype == torch.float32 and arrived[domain].abs().max() <= 1 for domain in "ab")


def go_on(images_seen: int, batch_size: int = 2, seed: int = 0, **settings: bool) -> EpochBatches:
    return EpochBatches(7, batch_size, seed, images_seen=lambda: images_seen, **settings)


def test_batches_are_a_function_of_seed_and_images_seen() -> None:
    whole = [batch for epoch in range(3) for batch in go_on(7 * epoch)]
    assert whole != [batch for epoch in range(3) for batch in go_on(7 * epoch, seed=1)]
    seen = 0
    for iteration, batch in enumerate(whole):
        assert list(go_on(seen)) == whole[iteration : 4 * (iteration // 4 + 1)]
        seen += len(batch)


@pytest.mark.parametrize("seen", [2, 4, 6, 7, 9])
def test_an_epoch_goes_on_where_it_was_with_other_batches(seen: int) -> None:
    """Of the same epoch as the schedule's, the images that have not been shown, in the same order."""
    (epoch, position), begun = divmod(seen, 7), seen
    order = [draw for batch in go_on(7 * epoch) for draw in batch]
    for batch_size in (1, 3, 4):
        seen = begun
        assert [draw for batch in go_on(seen, batch_size) for draw in batch] == order[position:]
        whole = go_on(seen, batch_size, drop_last=True)
        halvings = Schedule(9, 9, "step", step_epochs=1, gamma=0.5)
        for batch in whole:
            assert len(batch) == batch_size
            assert 0.5 ** batch[0][0] == halvings.factor(seen, whole.images_per_epoch)
            seen += batch_size


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
    make = functools.partial(UnpairedImages, *make_domains(data))
    images = make(0)
    for draw in [(0, 0), (1, 0), (0, 4)]:
        assert torch.equal(images[draw]["a"], make(0)[draw]["a"])
        assert torch.equal(images[draw]["b"], make(0)[draw]["b"])
    assert not torch.equal(images[0, 0]["a"], images[1, 0]["a"])
    assert not torch.equal(images[0, 0]["a"], make(1)[0, 0]["a"])
    partners = {tuple(images[epoch, 0]["b"].flatten()[:8].tolist()) for epoch in range(20)}
    assert len(partners) > 3


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
    with pytest.raises(DataError, match=r"nowhere/trainA: no such folder.*data\.root"):
        make_data(tmp_path / "nowhere")
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
