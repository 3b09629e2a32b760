"""AdaIN: statistics exchanged as the paper says, codes that mix, a bundle that carries its encoder."""

from pathlib import Path

import pytest
import torch
from test_family import make
from torch import Tensor

from diptych.errors import UserError
from diptych.networks import AdaINGenerator, build
from diptych.translator import Translator, load_translator


@pytest.fixture(scope="module")
def network() -> AdaINGenerator:
    torch.manual_seed(0)
    return AdaINGenerator(encoder="vgg16").eval().requires_grad_(False)


def paint(seed: int, height: int = 40, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_channels_get_the_styles_mean_and_deviation(network: AdaINGenerator) -> None:
    features, code = torch.randn(2, 512, 5, 4), network.describe_style(paint(1, 64, 48))
    exchanged = network.exchange(features, code)
    mean, deviation = (part.expand(2, -1, -1, -1).flatten(1) for part in code.chunk(2, 1))
    torch.testing.assert_close(exchanged.mean((2, 3)), mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(exchanged.std((2, 3), unbiased=False), deviation, atol=1e-4, rtol=1e-3)


def test_the_own_code_changes_nothing(network: AdaINGenerator) -> None:
    content = paint(0)
    torch.testing.assert_close(
        network(content, network.describe_own(content)), network.decoder(network.encode(content)), atol=1e-4, rtol=1e-4
    )


def test_a_code_may_differ_from_place_to_place(network: AdaINGenerator) -> None:
    features, one, two = torch.randn(1, 512, 4, 8), *(network.describe_style(paint(seed)) for seed in (1, 2))
    halves = torch.cat([one.expand(-1, -1, 4, 4), two.expand(-1, -1, 4, 4)], dim=3)
    mixed = network.exchange(features, halves)
    torch.testing.assert_close(mixed[..., :4], network.exchange(features, one)[..., :4])
    torch.testing.assert_close(mixed[..., 4:], network.exchange(features, two)[..., 4:])
    torch.testing.assert_close(network.exchange(features, one.expand(-1, -1, 9, 9)), network.exchange(features, one))


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (33, 16)])
def test_any_size_comes_back(network: AdaINGenerator, size: tuple[int, int]) -> None:
    assert network(paint(0, *size)).shape[-2:] == size


def test_the_decoder_mirrors_the_encoder(network: AdaINGenerator) -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim == 4)

    assert count(network.decoder) == count(network.encoder)
    assert network.encoder.names[-1] == "relu4_1"


def test_the_usual_style_follows_the_styles_seen() -> None:
    method = make("adain")
    first, second = ({"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)} for _ in range(2))
    codes = [method.generator_ab.describe_style(batch["b"]).mean(0, keepdim=True) for batch in (first, second)]
    method.render(first)
    torch.testing.assert_close(method.generator_ab.usual, codes[0])
    method.iteration = 1
    method.render(second)
    torch.testing.assert_close(method.generator_ab.usual, 0.99 * codes[0] + 0.01 * codes[1])
    method.eval()
    method.render(first)
    torch.testing.assert_close(method.generator_ab.usual, 0.99 * codes[0] + 0.01 * codes[1])


def test_terms_are_the_papers() -> None:
    method = make("adain")
    network, batch = method.generator_ab, {"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 24, 16)}
    images = method.render(batch)
    terms = method.generator_terms(images)
    wanted = network.exchange(network.encode(batch["a"]), network.describe_style(batch["b"]))
    expected = (network.encode(network.decoder(wanted)) - wanted).square().mean()
    torch.testing.assert_close(terms["content"], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["style"], method.style(images["fake_b"], batch["b"]), rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="VGG looks at RGB"):
        make("adain", channels={"a": 3, "b": 1})


def test_a_bundle_carries_its_encoder_and_takes_any_style(network: AdaINGenerator, tmp_path: Path) -> None:
    Translator(network).save(tmp_path / "ab.safetensors")
    loaded = load_translator(tmp_path / "ab.safetensors")
    content, style = paint(0), paint(1, 20, 60)
    torch.testing.assert_close(loaded(content), network(content))
    expected = network(content, network.describe_style(style)).clamp(-1, 1)
    torch.testing.assert_close(loaded(content, style), expected)
    assert not torch.equal(loaded(content, style), loaded(content, paint(2)))
    with pytest.raises(UserError, match="takes no style"):
        Translator(build("ResnetGenerator", width=4, blocks=1))(content, style)
