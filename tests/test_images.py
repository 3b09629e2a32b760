"""Images: what files become, what is written, what is refused."""

from pathlib import Path

import awkward_bytes
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from diptych.errors import DataError, UserError
from diptych.images import (
    Form,
    choose_suffix,
    draw_grid,
    load_image,
    normalise,
    read_size,
    read_tensor,
    to_image,
    to_pixels,
    write_image,
)

pytestmark = pytest.mark.reliability


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
    seen = load_image(tmp_path / "alpha.png").bands[0]
    assert (seen.getpixel((0, 0)), seen.getpixel((1, 1))) == ((255, 0, 0), (255, 255, 255))
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / "deep.png")
    assert load_image(tmp_path / "deep.png").bands[0].getpixel((0, 0)) == (128, 128, 128)
    upright = Image.new("RGB", (4, 2))
    exif = upright.getexif()
    exif[0x0112] = 6
    upright.save(tmp_path / "turned.jpg", exif=exif)
    turned = load_image(tmp_path / "turned.jpg")
    assert (turned.width, turned.height) == (2, 4)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_unreadable_images_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: not a readable image"):
        load_image(path)


def test_grid_has_a_cell_per_image() -> None:
    sheet = draw_grid([("left", torch.ones(2, 3, 8, 8)), ("right", -torch.ones(2, 3, 8, 8))], scale=2)
    assert sheet.size == (2 * 18 + 2, 2 * 18 + 2 + 16)
    assert sheet.getpixel((20 + 8, 18 + 8)) == (0, 0, 0)


NUMBERS = Form(channels=1, range=(0, 65535), depth="uint16")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_sixteen_bits_survive_reading_and_writing(tmp_path: Path, suffix: str) -> None:
    numbers = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16) + np.uint16(1) * (np.arange(16) == 3).astype(
        np.uint16
    )
    numbers = np.minimum(numbers, 65535).astype(np.uint16)
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".npy":
        np.save(source, numbers)
    elif suffix == ".tif":
        tifffile.imwrite(source, numbers)
    else:
        Image.fromarray(numbers).save(source)
    picture = load_image(source, NUMBERS)
    assert picture.stored == "uint16"
    write_image(picture.to_tensor(), target, NUMBERS)
    written = np.load(target) if suffix == ".npy" else np.asarray(Image.open(target))
    assert written.dtype == np.uint16
    assert np.array_equal(written, numbers)


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("depth", ["float32", "int16", "uint8"])
def test_many_channels_of_any_depth(tmp_path: Path, suffix: str, depth: str) -> None:
    random = np.random.default_rng(0)
    numbers = random.integers(0, 100, (20, 24, 5)).astype(depth)
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    form = Form(channels=5, range=(0, 100), depth=depth)
    for array in (numbers, np.moveaxis(numbers, 2, 0)):  # both layouts
        if suffix == ".npy":
            np.save(source, array)
        else:
            tifffile.imwrite(source, array, photometric="minisblack")
        tensor = load_image(source, form).to_tensor()
        assert tensor.shape == (5, 20, 24)
        assert torch.allclose(tensor[2], torch.from_numpy(numbers[..., 2].astype(np.float32)) / 50 - 1, atol=1e-6)
        write_image(tensor, target, form)
        written = np.load(target) if suffix == ".npy" else tifffile.imread(target)
        assert written.dtype == np.dtype(depth)
        assert np.allclose(written, numbers, atol=1e-4)


def test_numbers_are_resized_without_leaving_their_range(tmp_path: Path) -> None:
    numbers = np.zeros((16, 16), np.float32)
    numbers[:, 8:] = 4.0
    np.save(tmp_path / "edge.npy", numbers)
    tensor = load_image(tmp_path / "edge.npy", Form(1, (0, 4))).resize(40, 40).to_tensor()
    assert (tensor.min(), tensor.max()) == (-1, 1)


@pytest.mark.parametrize(
    ("array", "form", "words"),
    [
        (np.zeros((8, 8), np.float32), Form(1), "float32 numbers: declare their range"),
        (np.full((8, 8), np.nan, np.float32), Form(1, (0, 1)), "NaN or infinity"),
        (np.zeros((8, 8, 2), np.float32), Form(3, (0, 1)), "8×8×2 numbers are not an image of 3 channels"),
        (np.zeros((8, 8), np.complex64), Form(1, (0, 1)), "holds complex64, not numbers"),
        (np.zeros((200, 200), np.uint8), Form(1, max_pixels=1000), "200×200 pixels are more than the limit of 1,000"),
        (np.array([[{}]], dtype=object), Form(1, (0, 1)), "not a readable image"),
    ],
    ids=str,
)
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, array: np.ndarray, form: Form, words: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=rf"x\.npy: .*{words}"):
        load_image(tmp_path / "x.npy", form)


def test_numbers_beyond_the_declared_range_are_clipped_with_a_remark(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "ct.tif", np.array([[-2000, 0], [1000, 5000]], np.int16))
    picture = load_image(tmp_path / "ct.tif", Form(1, (-1000, 1000)))
    assert picture.to_tensor().tolist() == [[[-1, 0], [1, 1]]]
    assert "outside the declared range -1000…1000" in picture.remarks[0]


def test_deep_colour_that_cannot_be_read_in_full_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(awkward_bytes.png(np.full((4, 4, 3), 40000, np.uint16), 2, depth=16))
    with pytest.raises(DataError, match=r"deep\.png: 16-bit colour .* store it as TIFF"):
        load_image(tmp_path / "deep.png", Form(3, (0, 65535)))


def test_the_limit_on_pixels_is_the_callers(tmp_path: Path) -> None:
    Image.new("L", (50, 40)).save(tmp_path / "x.png")
    limit = Image.MAX_IMAGE_PIXELS
    assert load_image(tmp_path / "x.png", Form(max_pixels=2000)).width == 50
    with pytest.raises(DataError, match="50×40 pixels are more than the limit of 1,999"):
        load_image(tmp_path / "x.png", Form(max_pixels=1999))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_grey_is_what_one_channel_means(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_tensor(tmp_path / "red.png", Form(1)).shape == (1, 4, 4)
    assert load_image(tmp_path / "red.png", Form(1)).to_tensor()[0, 0, 0] == 76  # ITU-R 601
    write_image(torch.zeros(1, 4, 4), tmp_path / "grey.jpg", Form(1))
    with Image.open(tmp_path / "grey.jpg") as written:
        assert written.mode == "L"


def test_transparency_is_laid_on_the_background_and_can_be_put_back(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 255, 0))
    image.save(tmp_path / "clear.png")
    picture = load_image(tmp_path / "clear.png", Form(background="#102030"))
    assert picture.bands[0].getpixel((1, 1)) == (16, 32, 48)
    write_image(torch.ones(3, 4, 4), tmp_path / "out.webp", alpha=picture.alpha)
    with Image.open(tmp_path / "out.webp") as written:
        assert written.getpixel((0, 0))[3] == 0
    write_image(torch.ones(3, 4, 4), tmp_path / "out.jpg", alpha=picture.alpha)
    assert load_image(tmp_path / "out.jpg").alpha is None


def test_suffixes_change_only_where_a_file_could_not_hold_the_result() -> None:
    deep = Form(1, (0, 4095), "uint16")
    assert [choose_suffix(s) for s in (".JPG", ".png", ".npy", ".heic", "")] == [".JPG", ".png", ".png", ".png", ".png"]
    assert [choose_suffix(s, deep) for s in (".png", ".jpg", ".npy", ".TIF")] == [".png", ".tif", ".npy", ".TIF"]
    assert choose_suffix(".png", Form(3, (0, 4095), "uint16")) == ".tif"
    assert [choose_suffix(s, alpha=True) for s in (".gif", ".jpg", ".webp")] == [".png", ".jpg", ".webp"]


@pytest.mark.parametrize(
    "words",
    [
        {"channels": 0},
        {"range": [1, 0]},
        {"range": [1]},
        {"depth": "object"},
        {"background": "no colour"},
    ],
    ids=str,
)
def test_senseless_forms_are_refused(words: dict) -> None:
    with pytest.raises(UserError, match=next(iter(words))):
        Form.from_config(words)


def test_a_form_survives_being_written_down() -> None:
    form = Form(2, (-1.0, 3.0), "int16", "black")
    assert Form.from_config(form.describe()) == form


def test_sizes_come_from_the_header(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:700])  # the pixels are cut off
    assert read_size(tmp_path / "x.jpg") == (200, 300)
    np.save(tmp_path / "x.npy", np.zeros((7, 9), np.uint8))
    assert read_size(tmp_path / "x.npy", Form(1)) == (7, 9)


def test_any_number_of_channels_can_be_looked_at() -> None:
    assert [to_image(torch.zeros(channels, 4, 6)).mode for channels in (1, 2, 3, 5)] == ["RGB"] * 4
