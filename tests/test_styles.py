"""Styles from files: read as the translator takes them, used for many contents, and controls that act on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import make_picture
from PIL import Image
from torch import Generator, Tensor

from diptych.cli import main
from diptych.errors import UserError
from diptych.images import read_tensor, write_image
from diptych.inference import Controls, Settings, StyleRequest, Styles, plan, translate_files
from diptych.networks import AdaINGenerator, IterativeNetwork
from diptych.translators import NetworkTranslator, Style

FORMAT1 = Path(__file__).parent / "data" / "format1"


def test_styles_are_read_as_the_translator_takes_them(tmp_path: Path) -> None:
    assert StyleRequest.parse("a.jpg") == StyleRequest(Path("a.jpg"))
    assert StyleRequest.parse("a.jpg:0.3") == StyleRequest(Path("a.jpg"), 0.3)
    assert StyleRequest.parse("C:a.jpg") == StyleRequest(Path("C:a.jpg"))
    (tmp_path / "odd:2").touch()
    assert StyleRequest.parse(f"{tmp_path}/odd:2") == StyleRequest(tmp_path / "odd:2")
    assert StyleRequest.parse("0.5", ("image", "number")) == StyleRequest(0.5)
    assert StyleRequest.parse("0.5:2", ("number",)) == StyleRequest(0.5, 2.0)
    assert StyleRequest.parse("monet:2", ("name",)) == StyleRequest("monet", 2.0)
    (tmp_path / "7").touch()
    assert StyleRequest.parse(f"{tmp_path}/7", ("image", "number", "name")) == StyleRequest(tmp_path / "7")
    with pytest.raises(UserError, match="--style monet: this translator takes a style by number"):
        StyleRequest.parse("monet", ("number",))


@pytest.mark.parametrize("name", ["adain", "wct", "fusion"])
def test_batches_in_a_style_are_the_same_as_one_by_one(name: str, pictures: Path) -> None:
    for seed in range(3):
        write_image(make_picture(seed + 5, 40, 44)[0], pictures / "in" / f"{seed}.png")
    Image.linear_gradient("L").save(pictures / "mask.png")
    words = ["stylize", str(pictures / "in"), "--style", f"{pictures}/one.png:2", "--style", f"{pictures}/two.png"]
    words += ["--style-mask", str(pictures / "mask.png"), "--style-mask", str(pictures / "one.png")]
    words += ["--strength", "0.8", "--translator", str(FORMAT1 / f"{name}.safetensors"), "--device", "cpu"]
    for size in (1, 2):
        assert main([*words, "--batch-size", str(size), "--out", str(pictures / f"by{size}")]) == 0
    for seed in range(3):
        one, two = (read_tensor(pictures / f"by{size}" / f"{seed}.png") for size in (1, 2))
        torch.testing.assert_close(one, two, atol=1.01 / 127.5, rtol=0)  # a grey level
    assert main([*words, "--colours", "transfer", "--out", str(pictures / "own")]) == 0  # each its own style
    assert not torch.equal(read_tensor(pictures / "own" / "1.png"), read_tensor(pictures / "by1" / "1.png"))


def test_translate_takes_a_style_and_means_the_same_by_each_option(pictures: Path) -> None:
    """`--mask` says where the result replaces the content, `--style-mask` where a style goes, in both commands."""
    Image.new("L", (9, 9), "black").save(pictures / "black.png")
    words = [str(pictures / "content.png"), "--style", str(pictures / "one.png"), "--device", "cpu"]
    words += ["--translator", str(FORMAT1 / "adain.safetensors")]
    for command in ("translate", "stylize"):
        assert main([command, *words, "--out", str(pictures / command)]) == 0
        assert main([command, *words, "--mask", str(pictures / "black.png"), "--out", str(pictures / "none")]) == 0
        assert torch.equal(read_tensor(pictures / "none" / "content.png"), read_tensor(pictures / "content.png"))
    one, other = (read_tensor(pictures / command / "content.png") for command in ("translate", "stylize"))
    assert torch.equal(one, other)
    assert not torch.equal(one, read_tensor(pictures / "content.png"))


def test_styles_and_their_masks_are_not_overwritten(pictures: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_image(make_picture(7, 40, 44)[0], pictures / "in" / "one.png")
    words = ["stylize", str(pictures / "in"), "--encoder", "own", "--steps", "1", "--out", str(pictures)]
    before = (pictures / "one.png").read_bytes()
    for more in (
        ["--style", str(pictures / "one.png")],
        ["--style", str(pictures / "two.png"), "--style-mask", str(pictures / "one.png")],
    ):
        assert main([*words, *more]) == 2
        assert "one.png is read and would be overwritten" in capfd.readouterr().err
    assert (pictures / "one.png").read_bytes() == before


def test_a_network_looks_at_a_style_once_for_contents_of_a_size(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = AdaINGenerator(encoder="small").eval().requires_grad_(False)
    seen: list[torch.Size] = []

    def encode(style: Tensor) -> Tensor:
        seen.append(style.shape)
        return AdaINGenerator.encode_style(network, style)

    monkeypatch.setattr(network, "encode_style", encode)
    content, other = (read_tensor(pictures / f"{name}.png")[None] for name in ("content", "two"))
    translator, requests = NetworkTranslator(network), [StyleRequest(pictures / "one.png")]
    styles = Styles(translator, requests)
    first = translator(content, styles.prepare(content))
    assert not torch.equal(translator(other, styles.prepare(other)), first)
    assert torch.equal(translator(content, styles.prepare(content)), first)
    assert seen == [(1, 3, 36, 40)]
    styles.prepare(content[..., :18, :20])
    assert seen == [(1, 3, 36, 40), (1, 3, 18, 20)]
    changing = Styles(translator, requests, transfer=True)
    assert changing.differs_by_content
    for image in (content, other):
        translator(image, changing.prepare(image))
    assert len(seen) == 4  # recoloured for each


def test_controls_hand_strength_to_those_who_control_it() -> None:
    """Mixed codes where the translator mixes them, mixed images where it cannot."""
    content, style = make_picture(0), make_picture(1)
    torch.manual_seed(0)
    network = AdaINGenerator(encoder="small", deepest=2).eval().requires_grad_(False)
    translator, controls, steps = NetworkTranslator(network), Controls(0.5), []
    half = controls.translate(translator, content, Style(style), watch=steps.append)
    *_, inside = translator.iterate(content, style, strength=0.5)
    assert torch.equal(half, inside.image)
    assert [progress.step for progress in steps] == [1]
    translator.controls_strength = False
    outside = controls.translate(translator, content, Style(style))
    torch.testing.assert_close(outside, (content + translator(content, style)) / 2)
    assert not torch.allclose(half, outside, atol=1e-3)
    results = controls.translate_at((0, 1), translator, content, style)
    assert torch.equal(results[0], content)
    assert torch.equal(results[1], translator(content, style))


class Noisy(IterativeNetwork, registered=False):
    """Adds some noise at each step."""

    takes_seed = True
    steps = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.1))

    def iterate(self, x: Tensor, steps: int, random: Generator, code: Tensor | None = None) -> Iterator[Tensor]:
        for _ in range(steps):
            x = x + self.scale * torch.randn(x.shape, generator=random)
            yield x


def test_noise_does_not_depend_on_an_images_place_in_a_batch(tmp_path: Path) -> None:
    """And images on the way are kept, of two of one stem apart."""
    for name in ("a.png", "b.png", "b.bmp"):
        write_image(make_picture(0)[0], tmp_path / "in" / name)
    translator, seen = NetworkTranslator(Noisy()), []
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    settings = Settings(seed=3, steps=2, every=2)
    assert not settings.fits_engines(translator)
    outcome = translate_files(translator, jobs, settings, watch=lambda job, progress: seen.append(progress.step))
    assert not outcome.failures
    assert seen == [1, 2] * 3
    expected = translator(read_tensor(tmp_path / "in" / "a.png")[None], seed=3, steps=2)[0]
    for name in ("a.png", "b.png", "b.bmp", "a-steps/00002.png", "b.png-steps/00002.png", "b.bmp-steps/00002.png"):
        assert (read_tensor(tmp_path / "out" / name) - expected).abs().max() <= 1.01 / 127.5
    assert not (tmp_path / "out" / "a-steps" / "00001.png").exists()
