"""AdaIN: statistics exchanged as the paper says, codes that mix, a bundle that carries its encoder."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from conftest import paint_in
from test_family import make
from torch import Tensor

from diptych.cli import main
from diptych.errors import UserError
from diptych.images import read_tensor, write_image
from diptych.networks import AdaINGenerator, build
from diptych.networks.statistics import exchange_statistics
from diptych.translators import NetworkTranslator, Style, load_translator


@pytest.fixture(scope="module")
def network() -> AdaINGenerator:
    torch.manual_seed(0)
    return AdaINGenerator(encoder="vgg16").eval().requires_grad_(False)


def paint(seed: int, height: int = 40, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_channels_get_the_styles_mean_and_deviation(network: AdaINGenerator) -> None:
    features, code = torch.randn(2, 512, 5, 4), network.encode_style(paint(1, 64, 48))
    exchanged = exchange_statistics(features, code)
    mean, deviation = (part.expand(2, -1, -1, -1).flatten(1) for part in code.chunk(2, 1))
    torch.testing.assert_close(exchanged.mean((2, 3)), mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(exchanged.std((2, 3), unbiased=False), deviation, atol=1e-4, rtol=1e-3)


def test_the_own_code_changes_nothing(network: AdaINGenerator) -> None:
    content = paint(0)
    torch.testing.assert_close(
        network(content, network.encode_content(content)),
        network.decoder(network.encode(content)),
        atol=1e-4,
        rtol=1e-4,
    )


def test_a_code_may_differ_from_place_to_place(network: AdaINGenerator) -> None:
    features, one, two = torch.randn(1, 512, 4, 8), *(network.encode_style(paint(seed)) for seed in (1, 2))
    halves = torch.cat([one.expand(-1, -1, 4, 4), two.expand(-1, -1, 4, 4)], dim=3)
    mixed = exchange_statistics(features, halves)
    torch.testing.assert_close(mixed[..., :4], exchange_statistics(features, one)[..., :4])
    torch.testing.assert_close(mixed[..., 4:], exchange_statistics(features, two)[..., 4:])
    torch.testing.assert_close(
        exchange_statistics(features, one.expand(-1, -1, 9, 9)), exchange_statistics(features, one)
    )


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (33, 16)])
def test_any_size_comes_back(network: AdaINGenerator, size: tuple[int, int]) -> None:
    assert network(paint(0, *size)).shape[-2:] == size


def test_the_decoder_mirrors_the_encoder(network: AdaINGenerator) -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim == 4)

    assert count(network.decoder) == count(network.encoder)
    assert network.encoder.names[-1] == "relu4_1"


@pytest.mark.parametrize("deepest", [1, 2, 5])
def test_statistics_are_exchanged_as_deep_as_is_asked(deepest: int) -> None:
    method = make("adain", deepest=deepest)
    network = method.generator_ab
    assert network.encoder.names[-1] == f"relu{deepest}_1"
    assert list(method.style.layers) == [f"relu{level}_1" for level in range(1, deepest + 1)]
    assert (network.stride, network.mean_code.shape[1]) == (
        2 ** (deepest - 1),
        2 * (64, 128, 256, 512, 512)[deepest - 1],
    )
    assert network(paint(0, 37, 19)).shape == (1, 3, 37, 19)
    assert network.arguments["deepest"] == deepest  # a bundle's header says so
    with pytest.raises(UserError, match="deepest = 6: must lie between 1 and 5"):
        make("adain", deepest=6)


@pytest.mark.parametrize("name", ["adain", "fusion", "wct"])
def test_the_mean_code_follows_the_codes_seen(name: str) -> None:
    method = make(name)
    first, second = ({"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)} for _ in range(2))
    codes = [method.generator_ab.encode_style(batch["b"]).mean(0, keepdim=True) for batch in (first, second)]
    method.update_statistics(method.render(first).__getitem__)
    torch.testing.assert_close(method.generator_ab.mean_code, codes[0])
    method.iteration = 1
    images = method.render(second)
    assert torch.equal(method.generator_ab.mean_code, codes[0])  # rendering alone teaches nothing
    method.update_statistics(images.__getitem__)
    torch.testing.assert_close(method.generator_ab.mean_code, 0.99 * codes[0] + 0.01 * codes[1])


def test_terms_are_the_papers() -> None:
    method = make("adain")
    network, batch = method.generator_ab, {"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 24, 16)}
    images = method.render(batch)
    terms = method.generator_terms(images)
    target = exchange_statistics(network.encode(batch["a"]), network.encode_style(batch["b"]))
    expected = (network.encode(network.decoder(target)) - target).square().mean()
    torch.testing.assert_close(terms["content"], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["style"], method.style(images["fake_b"], batch["b"]), rtol=1e-4, atol=1e-6)
    assert "identity" not in terms
    method.weights.by_player["generator"]["identity"] = 1.0
    images = method.render(batch)
    drawn = [network(image, network.encode_content(image)) - image for image in (batch["a"], batch["b"])]
    expected = sum(difference.square().mean() for difference in drawn) / 2
    torch.testing.assert_close(method.generator_terms(images)["identity"], expected, rtol=1e-3, atol=1e-6)
    with pytest.raises(UserError, match="VGG looks at RGB"):
        make("adain", channels={"a": 3, "b": 1})


def test_a_bundle_carries_its_encoder_and_takes_any_style(network: AdaINGenerator, tmp_path: Path) -> None:
    NetworkTranslator(network).save(tmp_path / "ab.safetensors")
    loaded = load_translator(tmp_path / "ab.safetensors")
    content, style = paint(0), paint(1, 20, 60)
    torch.testing.assert_close(loaded(content), network(content))
    expected = network(content, network.encode_style(style)).clamp(-1, 1)
    torch.testing.assert_close(loaded(content, style), expected)
    assert not torch.equal(loaded(content, style), loaded(content, paint(2)))
    with pytest.raises(UserError, match="takes no style"):
        NetworkTranslator(build("ResnetGenerator", width=4, blocks=1))(content, style)


def test_codes_are_mixed_by_weights_masks_and_strength(network: AdaINGenerator) -> None:
    content, one, two = (paint(seed, 32, 48) for seed in range(3))
    codes = [network.encode_style(style) for style in (one, two)]
    alone = paint_in(network, content, [Style(one)])
    torch.testing.assert_close(alone, network(content, codes[0]).clamp(-1, 1), atol=1e-4, rtol=1e-4)
    mixed = paint_in(network, content, [Style(one, weight=7), Style(two, weight=3)])
    wanted = network(content, 0.7 * codes[0] + 0.3 * codes[1]).clamp(-1, 1)
    torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=1e-4)
    ones = torch.ones(1, 1, 32, 48)
    torch.testing.assert_close(paint_in(network, content, [Style(one, mask=ones)]), alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(paint_in(network, content, [Style(one)], 0.0), content, atol=1e-5, rtol=0)
    left = torch.zeros(1, 1, 32, 96)
    left[..., :8] = 1  # far from where the right half begins, beyond the network's field of view
    wide = torch.cat([content, content.flip(3)], 3)
    masked = paint_in(network, wide, [Style(one, mask=left)])
    assert (masked - wide)[..., :8].abs().mean() > 10 * (masked - wide)[..., 88:].abs().mean()
    away = [(paint_in(network, content, [Style(one)], s) - content).abs().mean() for s in (0, 0.3, 0.6, 1)]
    assert all(later > earlier for earlier, later in pairwise(away))


def test_the_command_paints_with_a_bundle(
    network: AdaINGenerator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    NetworkTranslator(network).save(tmp_path / "adain.safetensors")
    NetworkTranslator(build("ResnetGenerator", width=4, blocks=1)).save(tmp_path / "cyclegan.safetensors")
    for name, seed in (("content", 0), ("one", 1), ("two", 2)):
        write_image(paint(seed)[0], tmp_path / f"{name}.png")
    words = ["stylize", str(tmp_path / "content.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    words += ["--style", f"{tmp_path}/one.png:0.7", "--style", f"{tmp_path}/two.png:0.3", "--translator"]
    assert main([*words, str(tmp_path / "adain.safetensors")]) == 0
    content, one, two = (read_tensor(tmp_path / f"{name}.png")[None] for name in ("content", "one", "two"))
    expected = paint_in(network, content, [Style(one, weight=0.7), Style(two, weight=0.3)])[0]
    torch.testing.assert_close(read_tensor(tmp_path / "out" / "content.png"), expected, atol=0.02, rtol=0)
    assert main([*words, str(tmp_path / "cyclegan.safetensors")]) == 2
    assert "this translator takes no style; it takes nothing beside the image" in capfd.readouterr().err
