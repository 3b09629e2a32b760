"""A style that stays the same is looked at once, as it is: at its own size, uncropped and unflipped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_trainer, write_noise
from test_family import make
from torch import Tensor

from diptych.data import UnpairedData
from diptych.errors import UserError
from diptych.images import read_tensor
from diptych.losses import SlicedStyle
from diptych.methods import Method, fixed_styles
from diptych.methods.fixed_styles import FixedStyles
from diptych.networks import Vgg

SIZES = [(30, 44), (25, 32), (50, 21)]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Four contents, and three styles of several sizes."""
    for index in range(4):
        write_noise(tmp_path / "a" / f"{index}.png", np.random.default_rng(index))
    for index, size in enumerate(SIZES):
        write_noise(tmp_path / "b" / f"{index}.png", np.random.default_rng(10 + index), size)
    return tmp_path


def make_data(root: Path, count: int, **settings: Any) -> UnpairedData:
    for path in sorted((root / "b").iterdir())[count:]:
        path.unlink()
    sizes = {"load_size": 18, "crop_size": 16, "workers": 0, "cache": False, "batch_size": 2}
    return UnpairedData(path_a=str(root / "a"), path_b=str(root / "b"), **(sizes | settings))


def make_method(name: str, styles: int) -> Method:
    network = {"network": "ConditionalGenerator", "styles": styles, "width": 2} if name == "dumoulin" else None
    return make(name, network)


@pytest.mark.parametrize(("name", "count"), [("johnson", 1), ("dumoulin", 1), ("dumoulin", 3)])
def test_a_style_is_described_once_and_as_it_is(
    name: str, count: int, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, looked = make_method(name, count), list[tuple[int, ...]]()
    forward = Vgg.forward

    def watch(self: Vgg, images: Tensor, *others: Any) -> dict[str, Tensor]:
        looked.append(tuple(images.shape))
        return forward(self, images, *others)

    monkeypatch.setattr(Vgg, "forward", watch)
    make_trainer(max_epochs=2).fit(method, make_data(folders, count))
    assert [shape[-2:] for shape in looked if shape[-2:] != (16, 16)] == SIZES[:count]
    assert looked.count((2, 3, 16, 16)) == 2 * method.iteration  # the content, and what is made of it
    for number in range(count):
        image = read_tensor(folders / "b" / f"{number}.png")[None]
        expected = method.loss.describe_style(image)
        found = method.styles.pick(torch.tensor([number]))
        assert all(torch.equal(found[layer], expected[layer]) for layer in expected)


def test_images_of_a_batch_are_each_compared_with_their_own_style(folders: Path) -> None:
    method = make_method("dumoulin", 3)
    make_trainer(limit_train_batches=1).fit(method, make_data(folders, 3))
    fake, real = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    given = {"fake_b": fake, "real_a": real, "real_b": real}
    both = method.generator_terms(given | {"style": torch.tensor([2, 0])})["style"]
    alone = [
        method.loss.style(fake[i : i + 1], read_tensor(folders / "b" / f"{number}.png")[None])
        for i, number in enumerate((2, 0))
    ]
    torch.testing.assert_close(both, torch.stack(alone).mean())


def test_many_styles_of_one_network_are_prepared_as_images_are(folders: Path) -> None:
    method = make_method("johnson", 1)
    make_trainer(limit_train_batches=1).fit(method, make_data(folders, 3))
    assert method.styles is None


def test_no_checkpoint_holds_what_follows_from_the_recipe(folders: Path) -> None:
    method = make_method("johnson", 1)
    before = method.state_dict().keys()
    make_trainer(limit_train_batches=1).fit(method, make_data(folders, 1))
    assert method.state_dict().keys() == before
    assert method.extra_state() == {}


def test_a_huge_style_image_is_shrunk_and_that_is_said(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fixed_styles, "MAX_PIXELS", 20 * 20)
    method, data = make_method("johnson", 1), make_data(folders, 1)
    styles = FixedStyles(method.loss, data.train_paths["b"], data.forms["b"], torch.zeros(()))
    assert "0.png: 44×30 pixels, looked at as 24×16" in capfd.readouterr().out
    assert all(tensor.isfinite().all() for tensor in styles.pick().values())
    monkeypatch.setattr(fixed_styles, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match=r"what GramStyle keeps of 1 style images .*0\.png takes 0.0 GiB"):
        FixedStyles(method.loss, data.train_paths["b"], data.forms["b"], torch.zeros(()))


def test_features_of_unlike_styles_are_as_many_as_the_smallest_has() -> None:
    style = SlicedStyle({"relu1_1": 1.0}, Vgg("vgg16", "random"))
    large, small = torch.arange(12.0).view(1, 1, 12), torch.arange(4.0).view(1, 1, 4)
    stacked = style.stack([large, small])
    assert stacked[0, 0].tolist() == [1.0, 4.0, 7.0, 10.0]
    assert stacked[1, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
