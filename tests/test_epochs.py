"""A run that goes on with other batches: its epochs stay those of the images seen."""

from pathlib import Path
from typing import Any

import pytest
from conftest import make_cyclegan, make_trainer

from diptych.callbacks import LastCheckpoint
from diptych.data import UnpairedData, UnpairedImages
from diptych.data.domain import Notes
from diptych.data.unpaired import Draw, Item
from diptych.methods import Method
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import CheckpointFiles

pytestmark = pytest.mark.reliability
EPOCHS, ITEMS = 4, 5


class StopError(Exception):
    """A run is over before its end."""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[Draw]]]:
    """The epoch that the schedule is in and the draws of every batch that is trained on, as training goes on."""
    seen: list[tuple[int, list[Draw]]] = []
    get, step = UnpairedImages.__getitem__, Method.training_step

    def draw(self: UnpairedImages, index: Draw) -> Item:
        return get(self, index) | {"notes": Notes([index])}  # type: ignore[list-item]

    def train(self: Method, batch: dict[str, Any], index: int) -> None:
        seen.append((self.images_seen // self.images_per_epoch, batch.pop("skipped")))
        step(self, batch, index)

    monkeypatch.setattr(UnpairedImages, "__getitem__", draw)
    monkeypatch.setattr(Method, "training_step", train)
    return seen


def train(root: Path, checkpoints: Path, stop: int | None = None, **settings: Any) -> Method:
    """Train from the checkpoint there is, to the end or until so many batches have been trained on."""
    method = make_cyclegan()
    data = UnpairedData(str(root), load_size=18, crop_size=16, workers=0, cache=False, **settings)
    last = LastCheckpoint(str(checkpoints), every=1)

    def leave(*_: Any) -> None:
        if method.iteration == stop:
            raise StopError

    callbacks = [RunState({}), last]
    own = {"callbacks": callbacks, "plugins": [CheckpointFiles()], "enable_checkpointing": True}
    trainer = make_trainer(max_epochs=EPOCHS, **own)
    method.on_train_batch_start = leave  # type: ignore[method-assign]
    trainer.fit(method, data, ckpt_path=last.path if last.path.exists() else None, weights_only=True)
    return method


@pytest.mark.parametrize(
    ("before", "stop", "after"),
    [(1, 1, 3), (1, 4, 2), (2, 1, 1), (2, 3, 1), (1, 5, 2), (1, 8, 3), (2, 5, 4)],
    ids=str,
)
def test_another_batch_size_shows_every_image_once_an_epoch(
    before: int, stop: int, after: int, batches: list[tuple[int, list[Draw]]], tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(StopError):
        train(tiny_data, tmp_path, stop, batch_size=before)
    method = train(tiny_data, tmp_path, batch_size=after)
    shown = [draw for _, draws in batches for draw in draws]
    assert sorted(shown) == [(epoch, index) for epoch in range(EPOCHS) for index in range(ITEMS)]
    assert all(draw[0] == epoch for epoch, draws in batches for draw in draws)
    assert {len(draws) for _, draws in batches[:stop]} <= {before, ITEMS % before}
    assert max(len(draws) for _, draws in batches[stop:]) == after
    assert method.images_seen == EPOCHS * ITEMS


@pytest.mark.parametrize(("before", "stop", "after"), [(1, 3, 2), (2, 2, 3), (2, 3, 1)], ids=str)
def test_whole_batches_alone_keep_to_the_schedules_epochs(
    before: int, stop: int, after: int, batches: list[tuple[int, list[Draw]]], tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(StopError):
        train(tiny_data, tmp_path, stop, batch_size=before, drop_last=True)
    train(tiny_data, tmp_path, batch_size=after, drop_last=True)
    assert all(draw[0] == epoch for epoch, draws in batches for draw in draws)
    assert {len(draws) for _, draws in batches[stop:]} == {after}
    assert batches[-1][0] == EPOCHS - 1
