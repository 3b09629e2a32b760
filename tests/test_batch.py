"""What may be given to a translator instead of a tensor: paths, images of Pillow's, lists of these."""

from pathlib import Path

import awkward_bytes as raw
import numpy as np
import pytest
import torch
from conftest import write_noise
from PIL import Image

import diptych
from diptych.errors import DataError
from diptych.images import Form, read_tensor, to_batch
from diptych.networks import build
from diptych.translators import NetworkTranslator


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        write_noise(path, random, (20, 24))
    return paths


def test_whatever_holds_the_image_it_is_translated_alike(files: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    NetworkTranslator(build("ResnetGenerator", width=2, blocks=1).eval(), {}).save(tmp_path / "ab.safetensors")
    translator = diptych.load_translator(tmp_path / "ab.safetensors")
    both = torch.stack([read_tensor(path) for path in files])
    expected = translator(both)
    for one in (files[0], str(files[0]), Image.open(files[0]), Image.open(files[0]).copy()):
        torch.testing.assert_close(translator(one), expected[:1])
    for several in (files, tuple(map(str, files)), [Image.open(files[0]), files[1]]):
        torch.testing.assert_close(translator(several), expected)
    (progress,) = translator.iterate(files[0])
    torch.testing.assert_close(progress.image, expected[:1])


def test_pillows_images_are_read_as_files_are(tmp_path: Path) -> None:
    """Upright, in sRGB, laid on the background, in the form's channels."""
    path = tmp_path / "turned.jpg"
    path.write_bytes(raw.encode(raw.turned(6), "JPEG", exif=raw.orientation(6), icc_profile=raw.rgb_profile()))
    clear = Image.fromarray(raw.with_alpha())
    clear.save(tmp_path / "clear.png")
    for name in ("turned.jpg", "clear.png"):
        torch.testing.assert_close(to_batch(Image.open(tmp_path / name))[0], read_tensor(tmp_path / name))
    assert to_batch(clear, Form(1, background="black")).shape == (1, 1, 32, 48)
    numbers = Form(1, (0.0, 65535.0), "uint16")
    deep = Image.fromarray(raw.deepen(raw.quadrants(raw.GREYS)))
    assert float(to_batch(deep, numbers)[0, 0, 0, 0]) == pytest.approx(raw.GREYS[0] / 127.5 - 1)


def test_what_is_no_batch_is_named(files: list[Path], tmp_path: Path) -> None:
    write_noise(tmp_path / "other.png", np.random.default_rng(0), (8, 9))
    with pytest.raises(DataError, match=r"of several sizes \(24×20, 9×8\): give them one by one"):
        to_batch([files[0], tmp_path / "other.png"])
    with pytest.raises(DataError, match="the images are none"):
        to_batch([])
    with pytest.raises(DataError, match=r"nowhere\.png: no such image"):
        to_batch(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="the image: not a readable image"):
        to_batch(Image.new("F", (4, 4)))
    with pytest.raises(DataError, match="are more than the limit"):
        to_batch(Image.new("L", (4, 4)), Form(max_pixels=15))
    with pytest.raises(TypeError, match="a ndarray is no image: give a path"):
        to_batch([np.zeros((3, 4, 4))])  # type: ignore[list-item]
