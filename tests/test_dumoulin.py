"""Conditional instance norm: several styles in one network, known again by their images, mixed by shares."""

from pathlib import Path

import pytest
import torch
from conftest import paint_in
from test_family import make
from test_train import make_overrides, run
from torch import Tensor

from diptych.cli import main
from diptych.errors import UserError
from diptych.images import read_tensor, write_image
from diptych.networks import ConditionalGenerator
from diptych.networks.conditional_generator import ConditionalNorm
from diptych.translators import NetworkTranslator, Style, load_translator


def paint(seed: int, height: int = 40, width: int = 32) -> Tensor:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(image, size=(height, width), mode="bilinear")


@pytest.fixture(scope="module")
def network() -> ConditionalGenerator:
    torch.manual_seed(0)
    network = ConditionalGenerator(styles=2, width=4, blocks=1).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith(("scales", "shifts")):
            parameter += 0.5 * torch.randn(parameter.shape)
    for number in range(2):
        network.keep_thumbnail(number, paint(number + 1))
    return network


def test_a_style_scales_and_shifts_normalised_features() -> None:
    norm, x = ConditionalNorm(2, 3), torch.randn(2, 3, 5, 6)
    norm.scales.data, norm.shifts.data = torch.rand(2, 2, 3)
    mean, deviation = x.mean((2, 3), keepdim=True), (x.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    code = torch.tensor([[1.0, 0.0], [0.25, 0.75]])[..., None, None]
    scale = torch.stack([norm.scales[0], 0.25 * norm.scales[0] + 0.75 * norm.scales[1]])[..., None, None]
    shift = torch.stack([norm.shifts[0], 0.25 * norm.shifts[0] + 0.75 * norm.shifts[1]])[..., None, None]
    torch.testing.assert_close(norm(x, code), scale * (x - mean) / deviation + shift)
    torch.testing.assert_close(norm(x, code.expand(-1, -1, 3, 3)), norm(x, code))


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (33, 16)])
def test_any_size_comes_back(network: ConditionalGenerator, size: tuple[int, int]) -> None:
    assert network(paint(0, *size)).shape[-2:] == size


def test_learnt_styles_are_known_again_and_no_others(network: ConditionalGenerator) -> None:
    for number in range(2):
        code = network.encode_style(paint(number + 1, 57, 80))
        assert code.flatten().tolist() == [float(number == 0), float(number == 1)]
    with pytest.raises(UserError, match="has learnt 2 styles, and the image is none of them"):
        network.encode_style(paint(3))


def test_styles_are_mixed_by_weights_masks_and_strength(network: ConditionalGenerator) -> None:
    content, one, two = paint(0), paint(1), paint(2)
    alone = paint_in(network, content, [Style(one)])
    torch.testing.assert_close(alone, network(content, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)), atol=1e-4, rtol=0)
    mixed = paint_in(network, content, [Style(one, weight=7), Style(two, weight=3)])
    torch.testing.assert_close(mixed, network(content, torch.tensor([0.7, 0.3]).view(1, 2, 1, 1)), atol=1e-4, rtol=0)
    assert (mixed - alone).abs().max() > 0.01
    half = paint_in(network, content, [Style(one)], 0.5)
    torch.testing.assert_close(half, (content + alone) / 2, atol=1e-4, rtol=0)
    torch.testing.assert_close(paint_in(network, content, [Style(one)], 0.0), content)
    top = torch.ones(1, 1, 40, 32)
    top[:, :, 20:] = 0
    masked = paint_in(network, content, [Style(one, mask=top)])
    torch.testing.assert_close(masked[..., 24:, :], content[..., 24:, :], atol=1e-4, rtol=0)
    assert (masked - content)[..., :16, :].abs().mean() > 0.01


def test_each_image_of_b_is_a_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through the entry point: two styles, a bundle that knows them, and `diptych stylize`."""
    for name, seed in (("content", 0), ("one", 1), ("two", 2)):
        write_image(paint(seed)[0], tmp_path / ("a" if seed == 0 else "b") / f"{name}.png")
    folders = [f"data.path_a={tmp_path / 'a'}", f"data.path_b={tmp_path / 'b'}", "experiment=custom", "domains=[a,b]"]
    words = [*folders, "method=dumoulin", "generator=conditional", "generator.width=4", "generator.blocks=1"]
    words += ["method.encoder.weights=own", "data.preset=crop"]
    overrides = [word for word in make_overrides(tmp_path, tmp_path / "run") if not word.startswith("data.root")]
    overrides = [word for word in overrides if not word.startswith("generator.")]
    with pytest.raises(SystemExit):
        run(monkeypatch, *overrides, *words)
    assert "generator.styles = 1, but B has 2 images: generator.styles=2" in capfd.readouterr().err
    run(monkeypatch, *overrides, *words, "generator.styles=2")
    bundle = tmp_path / "run" / "translators" / "ab.safetensors"
    assert f"diptych stylize YOUR_IMAGES --style AN_IMAGE --translator {bundle}" in capfd.readouterr().out
    network = load_translator(bundle).network
    assert isinstance(network, ConditionalGenerator)
    assert network.encode_style(paint(2)).argmax() == 1
    command = ["stylize", str(tmp_path / "a" / "content.png"), "--translator", str(bundle), "--device", "cpu"]
    command += ["--out", str(tmp_path / "out"), "--style", f"{tmp_path}/b/one.png"]
    command += ["--style", f"{tmp_path}/b/two.png:2"]
    assert main(command) == 0
    content, shares = read_tensor(tmp_path / "a" / "content.png")[None], torch.tensor([1 / 3, 2 / 3])
    expected = network(content, shares.view(1, 2, 1, 1))
    found = read_tensor(tmp_path / "out" / "content.png")
    torch.testing.assert_close(found, expected[0], atol=0.02, rtol=0)


def test_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="generator=conditional"):
        make("dumoulin", network={"network": "ResnetGenerator", "width": 4, "blocks": 1})


def test_a_bundle_keeps_the_thumbnails(network: ConditionalGenerator, tmp_path: Path) -> None:
    NetworkTranslator(network).save(tmp_path / "ab.safetensors")
    loaded = load_translator(tmp_path / "ab.safetensors")
    torch.testing.assert_close(loaded(paint(0), paint(2)), network(paint(0), network.encode_style(paint(2))))
