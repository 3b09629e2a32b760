"""How much of a translation, whose colours and where: `diptych translate` as artists would call it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.cli import main
from diptych.images import read_tensor, to_unit
from diptych.inference import Controls
from diptych.networks import build, initialise
from diptych.translators import NetworkTranslator

SIZES = {"a.png": (32, 24), "deep/b.png": (24, 24)}


def make_bundle(path: Path, channels: tuple[int, int] = (3, 3), **notes: object) -> Path:
    torch.manual_seed(0)
    network = build("ResnetGenerator", width=4, blocks=1, in_channels=channels[0], out_channels=channels[1])
    initialise(network)
    NetworkTranslator(network.eval(), {"direction": "ab", **notes}).save(path)
    return path


def save_noise(path: Path, size: tuple[int, int], low: int = 0, high: int = 256) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(size).integers(low, high, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def save_mask(path: Path, rows: np.ndarray | list[list[int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(rows, dtype=np.uint8)).save(path)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with images `in` of unlike sizes, and a bundle."""
    for name, size in SIZES.items():
        save_noise(tmp_path / "in" / name, size)
    make_bundle(tmp_path / "ab.safetensors")
    return tmp_path


def translate(place: Path, out: str, *words: object, source: str = "in", bundle: str = "ab") -> int:
    fixed = ["--translator", place / f"{bundle}.safetensors", "--out", place / out, "--engine", "torch"]
    return main([str(word) for word in ["translate", place / source, *fixed, *words]])


def test_strength_leads_from_the_input_to_the_translation(place: Path) -> None:
    for strength in (0, 0.25, 0.5, 0.75, 1):
        assert translate(place, f"{strength}", "--strength", strength) == 0
    assert translate(place, "plain") == 0
    for name in SIZES:
        before = read(place / "in" / name)
        after = [read(place / f"{strength}" / name) for strength in (0, 0.25, 0.5, 0.75, 1)]
        away = [np.abs(image - before).mean() for image in after]
        assert np.array_equal(after[0], before)
        assert all(later > earlier + 1 for earlier, later in itertools.pairwise(away))
        assert np.abs(after[2] - (before + after[4]) / 2).max() <= 1
        assert (place / "1" / name).read_bytes() == (place / "plain" / name).read_bytes()


def test_nothing_is_done_where_nothing_is_asked() -> None:
    content, result = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 3.0)
    assert Controls().apply(content, result) is result
    assert Controls(0.5).apply(content, result).unique().tolist() == [0.5]  # of what would be written: at most 1


def test_a_mask_says_where(place: Path) -> None:
    white, black = (save_mask(place / f"{grey}.png", [[grey] * 7] * 5) for grey in (255, 0))
    half = save_mask(place / "half.png", np.repeat([[255] * 16 + [0] * 16], 24, axis=0))
    grey = save_mask(place / "grey.png", [[51]])  # a fifth
    assert translate(place, "plain") == 0
    for out, mask in (("white", white), ("black", black), ("half", half), ("grey", grey)):
        assert translate(place, out, "--mask", mask) == 0
    assert translate(place, "weak", "--mask", half, "--strength", "0.2") == 0
    for name in SIZES:
        assert (place / "white" / name).read_bytes() == (place / "plain" / name).read_bytes()
        assert np.array_equal(read(place / "black" / name), read(place / "in" / name))
    before, plain, split, soft, weak = (read(place / o / "a.png") for o in ("in", "plain", "half", "grey", "weak"))
    assert np.array_equal(split[:, :16], plain[:, :16])
    assert np.array_equal(split[:, 16:], before[:, 16:])
    assert np.abs(soft - (0.8 * before + 0.2 * plain)).max() <= 1
    assert np.abs(weak[:, :16] - soft[:, :16]).max() <= 1
    assert np.array_equal(weak[:, 16:], before[:, 16:])
    edge = read(place / "half" / "deep" / "b.png")  # the mask of 32 columns on 24
    assert np.array_equal(edge[:, :10], read(place / "plain" / "deep" / "b.png")[:, :10])
    assert np.array_equal(edge[:, 14:], read(place / "in" / "deep" / "b.png")[:, 14:])


def test_luminance_keeps_the_inputs_colours(place: Path) -> None:
    from kornia.color import rgb_to_lab

    save_noise(place / "dull" / "a.png", (32, 24), 110, 146)  # so dull that none leaves the screen's colours
    assert translate(place, "plain", source="dull") == 0
    assert translate(place, "kept", "--colours", "luminance", source="dull") == 0
    before, plain, kept = (
        rgb_to_lab(to_unit(read_tensor(place / o / "a.png")[None])) for o in ("dull", "plain", "kept")
    )
    assert (kept[:, 1:] - before[:, 1:]).abs().max() < 1.5  # of 8 bits a grey level
    assert (kept[:, :1] - plain[:, :1]).abs().max() < 1.5
    assert (plain[:, 1:] - before[:, 1:]).abs().max() > 5
    assert (before[:, :1] - plain[:, :1]).abs().max() > 5


def test_a_folder_holds_a_mask_for_each_image(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = np.repeat([[255] * 16 + [0] * 16], 24, axis=0)
    save_mask(place / "masks" / "a.bmp", left)
    save_mask(place / "masks" / "deep" / "b.tif", [[0]])
    save_mask(place / "masks" / "b.png", [[255]])  # of another folder's b
    assert translate(place, "plain") == 0
    assert translate(place, "out", "--mask", place / "masks") == 0
    assert np.array_equal(read(place / "out" / "deep" / "b.png"), read(place / "in" / "deep" / "b.png"))
    assert np.array_equal(read(place / "out" / "a.png")[:, :16], read(place / "plain" / "a.png")[:, :16])
    assert np.array_equal(read(place / "out" / "a.png")[:, 16:], read(place / "in" / "a.png")[:, 16:])

    save_noise(place / "in" / "c.png", (9, 9))
    save_noise(place / "in" / "d.png", (9, 9))
    (place / "masks" / "d.png").write_bytes(b"nothing")
    capsys.readouterr()
    assert translate(place, "some", "--mask", place / "masks", "--size", "16") == 4
    captured = capsys.readouterr()
    assert f"{place / 'masks' / 'c'}.*: no such mask; put one there, white where c.png may change" in captured.err
    assert f"{place / 'masks' / 'd.png'}: not a readable image" in captured.err
    assert len(captured.err.strip().splitlines()) == 2
    assert "2 of 4 images translated" in captured.out
    assert {path.name for path in (place / "some").rglob("*.png")} == {"a.png", "b.png"}
    with Image.open(place / "in" / "deep" / "b.png") as image:
        smaller = image.resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(read(place / "some" / "deep" / "b.png"), np.asarray(smaller))


def test_of_masks_alike_the_images_own_suffix_decides(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_mask(place / "masks" / "a.png", [[0]])
    save_mask(place / "masks" / "a.bmp", [[255]])
    save_mask(place / "masks" / "deep" / "b.bmp", [[0]])
    save_mask(place / "masks" / "deep" / "b.tif", [[255]])
    assert translate(place, "out", "--mask", place / "masks") == 4
    assert "b.tif: both are masks of deep/b.png; keep one" in capsys.readouterr().err
    assert np.array_equal(read(place / "out" / "a.png"), read(place / "in" / "a.png"))


def test_masks_are_not_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = save_mask(place / "masks" / "a.png", [[9]])
    assert translate(place, "masks", "--mask", place / "masks") == 2
    assert "a.png is read and would be overwritten" in capsys.readouterr().err
    assert read(mask).tolist() == [[9]]


def test_transparency_stays_with_what_is_mixed(place: Path) -> None:
    alpha = np.zeros((24, 32, 1), np.uint8)
    alpha[:, :20] = 255
    clear = np.concatenate([read(place / "in" / "a.png").astype(np.uint8), alpha], axis=2)
    (place / "clear").mkdir()
    Image.fromarray(clear).save(place / "clear" / "a.png")
    assert translate(place, "out", "--keep-alpha", "--strength", "0", source="clear") == 0
    after = read(place / "out" / "a.png")
    assert np.array_equal(after[..., 3:], alpha)
    assert np.array_equal(after[:, :20], clear[:, :20])


def test_numbers_of_one_range_are_mixed_in_full_depth(place: Path) -> None:
    form = {"range": [0, 4095], "depth": "uint16"}
    make_bundle(place / "scans.safetensors", (1, 1), input=form, output=form)
    numbers = np.random.default_rng(0).integers(0, 4096, (24, 32), dtype=np.uint16)
    (place / "scans").mkdir()
    np.save(place / "scans" / "x.npy", numbers)
    Image.fromarray(numbers).save(place / "scans" / "y.png")
    half = save_mask(place / "half.png", np.repeat([[255] * 16 + [0] * 16], 24, axis=0))
    for out, words in (("plain", []), ("none", ["--strength", "0"]), ("half", ["--mask", half])):
        assert translate(place, out, *words, source="scans", bundle="scans") == 0
    assert np.array_equal(np.load(place / "none" / "x.npy"), numbers)
    assert np.array_equal(read(place / "none" / "y.png"), numbers)
    split, plain = (np.load(place / out / "x.npy") for out in ("half", "plain"))
    assert np.array_equal(split[:, :16], plain[:, :16])
    assert np.array_equal(split[:, 16:], numbers[:, 16:])
    assert not np.array_equal(plain, numbers)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--strength", "2"], 2, "--strength: 2 must be a number of at least 0 and at most 1"),
        (["--strength", "nan"], 2, "--strength: nan must be a number of at least 0 and at most 1"),
        (["--colours", "sepia"], 2, "colours = sepia must be one of"),
        (
            ["--colours", "transfer"],
            2,
            "colours = transfer: there is no style image to transfer them to; say luminance",
        ),
        (["--mask", "nowhere.png"], 4, "nowhere.png: no such image"),
        (["--mask", "EMPTY"], 4, "no images in it"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "EMPTY").mkdir()
    assert translate(place, "out", *(place / word if word == "EMPTY" else word for word in words)) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("channels", "notes", "words", "message"),
    [
        ((3, 1), {}, ["--strength", "0.5"], "strength = 0.5: this translator turns 3 channels into 1 channel, which"),
        ((3, 1), {}, ["--mask", "MASK"], "a mask: this translator turns 3 channels into 1 channel, which cannot be"),
        ((3, 3), {"output": {"range": [0, 9]}}, ["--strength", "0"], "turns 3 channels into 3 channels of 0…9, which"),
        ((3, 1), {}, ["--colours", "luminance"], "colours = luminance: this translator turns 3 channels into 1"),
        ((1, 3), {}, ["--colours", "luminance"], "only RGB pictures have colours to keep; say result"),
        ((3, 3), {"input": {"range": [0, 9]}}, ["--colours", "luminance"], "turns 3 channels of 0…9 into 3 channels,"),
        ((1, 1), {}, ["--colours", "luminance"], "turns 1 channel into 1 channel, and only RGB"),
    ],
)
def test_what_a_translator_does_not_allow_is_refused(
    channels: tuple[int, int],
    notes: dict[str, object],
    words: list[str],
    message: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mask = save_mask(place / "mask.png", [[255]])
    make_bundle(place / "other.safetensors", channels, **notes)
    assert translate(place, "out", *(mask if word == "MASK" else word for word in words), bundle="other") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (place / "out").exists()
