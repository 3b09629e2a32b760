"""What artists turn, and `diptych stylize` as they would call it."""

import itertools
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from diptych.cli import main
from diptych.errors import UserError
from diptych.images import load_image, read_tensor, to_unit, write_image
from diptych.inference import Controls, StyleFile, Stylizer
from diptych.inference.controls import take_luminance, transfer_colours
from diptych.inference.stylizing import CLASSIC_LAYERS, make_gatys
from diptych.networks import AdaINGenerator, Vgg
from diptych.translators import Translator


def paint(seed: int, *size: int) -> Tensor:
    return torch.rand(1, 3, *(size or (20, 24)), generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed, name in enumerate(("content", "one", "two")):
        write_image(torch.nn.functional.avg_pool2d(paint(seed, 40, 44), 5, 1)[0], tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def small_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16 is enough here, and drawn at random."""
    monkeypatch.setattr(
        "diptych.inference.stylizing.load_encoder", lambda weights, **more: Vgg("vgg16", "random", **more)
    )


def test_strength_leads_from_the_content_to_the_result() -> None:
    content, result = paint(0), paint(1)
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

    content, result = 0.3 * paint(0), 0.3 * paint(1)  # colours dull enough that none leaves the screen's
    before, other, after = (rgb_to_lab(to_unit(x)) for x in (content, result, take_luminance(content, result)))
    torch.testing.assert_close(after[:, 1:], before[:, 1:], atol=0.1, rtol=0)
    torch.testing.assert_close(after[:, :1], other[:, :1], atol=0.1, rtol=0)


def test_transferred_colours_have_the_contents_mean_and_covariance() -> None:
    content, style = 0.2 * paint(0) + 0.1, 0.5 * paint(1, 30, 10)
    style[:, 1] = 0.5 * style[:, 0] + 0.5 * style[:, 1]  # correlated channels
    moved = transfer_colours(style, content)
    for measure in (lambda x: x.flatten(2)[0].mean(1), lambda x: torch.cov(x.flatten(2)[0])):
        torch.testing.assert_close(measure(moved), measure(content), atol=2e-3, rtol=0)
    torch.testing.assert_close(transfer_colours(content, content), content, atol=1e-4, rtol=0)


def test_style_files_carry_weights(tmp_path: Path) -> None:
    assert StyleFile.parse("a.jpg") == StyleFile(Path("a.jpg"))
    assert StyleFile.parse("a.jpg:0.3") == StyleFile(Path("a.jpg"), 0.3)
    assert StyleFile.parse("C:a.jpg") == StyleFile(Path("C:a.jpg"))
    (tmp_path / "odd:2").touch()
    assert StyleFile.parse(f"{tmp_path}/odd:2") == StyleFile(tmp_path / "odd:2")


def test_the_classic_recipe_is_the_one_of_the_tutorials(small_vgg: None) -> None:
    gatys = make_gatys("classic", "random")
    look = gatys.look
    assert gatys.weights == {"content": 0.025, "style": 1.0, "total_variation": 1e-4}
    assert (look.content.layers, look.style.layers) == ({"conv5_2": 1.0}, CLASSIC_LAYERS)
    assert sum(CLASSIC_LAYERS.values()) == pytest.approx(1)
    assert (look.content.scale, look.style.scale, look.total_variation.exponent) == ("gatys", "gatys", 2.5)
    assert look.content.encoder.preprocessing == "caffe"
    assert make_gatys("plain", "random", "conv3_1").look.content.layers == {"conv3_1": 1.0}


def test_a_picture_is_stylized_with_everything_turned(pictures: Path, small_vgg: None) -> None:
    Image.linear_gradient("L").save(pictures / "mask.png")
    Image.new("L", (9, 9), "white").save(pictures / "white.png")
    words = ["stylize", str(pictures / "content.png"), "--out", str(pictures / "out"), "--steps", "3", "--every", "2"]
    words += ["--style", f"{pictures}/one.png:0.7", "--style", f"{pictures}/two.png:0.3", "--levels", "2"]
    words += ["--mask", str(pictures / "mask.png"), "--mask", str(pictures / "white.png"), "--device", "cpu"]
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
        (["--weight", "style=much"], "--weight style=much: say TERM=NUMBER"),
        (["--weight", "colour=1"], "weights of colour: there must be those of content, style, total_variation"),
        (["--mask", "a.png", "--mask", "b.png"], "--mask is given 2 times and --style 1 times"),
        (["--optimizer", "sgd"], "optimizer = sgd must be one of lbfgs, adam, scipy"),
        (["--recipe", "secret"], "--recipe secret: must be one of plain, classic"),
        (["--style-scale", "0"], "--style-scale 0: must be above 0"),
        (["--content-layer", "conv9_9"], "Vgg has no layer 'conv9_9'"),
        (["--grid", "a,b"], "--grid a,b: say strengths with commas"),
        (["--strength", "2"], "strength = 2 must lie between 0 and 1"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, pictures: Path, small_vgg: None, capfd: pytest.CaptureFixture[str]
) -> None:
    styles = words if "--style" in words else ["--style", str(pictures / "one.png"), *words]
    code = main(["stylize", str(pictures / "content.png"), "--out", str(pictures / "out"), "--steps", "1", *styles])
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
    assert "set weights to own (small, comes along), random or a file" in line


def test_the_encoder_that_comes_along_paints(pictures: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["stylize", str(pictures / "content.png"), "--style", str(pictures / "one.png"), "--encoder", "own"]
    words += ["--steps", "3", "--out", str(pictures / "out")]
    assert main(words) == 0
    assert not torch.equal(read_tensor(pictures / "out" / "content.png"), read_tensor(pictures / "content.png"))
    assert main([*words, "--recipe", "classic"]) == 2
    assert "--encoder own: the classic recipe is made for VGG-19; --recipe plain takes any" in capfd.readouterr().err


def test_a_network_looks_at_a_style_once_for_pictures_of_a_size(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = AdaINGenerator(encoder="small").eval().requires_grad_(False)
    seen: list[torch.Size] = []

    def describe(style: Tensor) -> Tensor:
        seen.append(style.shape)
        return AdaINGenerator.encode_style(network, style)

    monkeypatch.setattr(network, "encode_style", describe)
    content, other = (load_image(pictures / f"{name}.png") for name in ("content", "two"))
    files = [StyleFile(pictures / "one.png")]
    paint = Stylizer(Translator(network), Controls())
    first = paint(content, files)
    assert not torch.equal(paint(other, files), first)
    assert torch.equal(paint(content, files), first)
    assert len(seen) == 1
    paint(content.scale_shorter_side(18), files)
    assert seen == [(1, 3, 36, 40), (1, 3, 18, 20)]
    changing = Stylizer(Translator(network), Controls(colours="transfer"))
    changing(content, files)
    changing(other, files)
    assert len(seen) == 4  # recoloured for each
