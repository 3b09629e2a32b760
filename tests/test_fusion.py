"""Autoencoder fusion: each way to fuse, who learns from what, codes that mix, a bundle for the command line."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from conftest import Batches, make_trainer, paint_in
from test_family import make
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from diptych.cli import main
from diptych.errors import UserError
from diptych.images import read_tensor, write_image
from diptych.networks import FusionGenerator, build, initialise
from diptych.training.memory import MemoryOptions
from diptych.translators import NetworkTranslator, Style, load_translator

WAYS = ("concatenate", "adain", "weighted")


def make_network(fusion: str, **arguments: object) -> FusionGenerator:
    torch.manual_seed(0)
    network = build("FusionGenerator", width=2, fusion=fusion, **arguments)
    assert isinstance(network, FusionGenerator)
    initialise(network, "kaiming")
    return network.eval().requires_grad_(False)


def paint(seed: int, height: int = 40, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_code_is_the_mean_and_deviation_of_the_style_encoders_features() -> None:
    network, style = make_network("adain"), paint(1, 24, 16)
    flat = network.style_encoder(style)[0].flatten(1)
    assert flat.shape == (8, 6 * 4)
    expected = torch.cat([flat.mean(1), flat.std(1, unbiased=False)])
    torch.testing.assert_close(network.encode_style(style).flatten(), expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(network.encode_content(style), network.encode_style(style))


@pytest.mark.parametrize("fusion", WAYS)
def test_fusions_are_what_they_say(fusion: str) -> None:
    """Image by image and channel by channel, in plain lines."""
    network = make_network(fusion, share=0.3)
    features, codes = torch.rand(2, 8, 5, 4), torch.rand(2, 16, 1, 1)
    fused = network.fuse(features, codes)
    for found, image, code in zip(fused, features, codes.flatten(1), strict=True):
        if fusion == "concatenate":
            beside = torch.stack([*image, *(torch.full((5, 4), float(number)) for number in code)])
            expected = conv2d(beside[None], network.mix.weight, network.mix.bias)[0]
        elif fusion == "adain":
            expected = torch.stack([
                code[8 + i] * (channel - channel.mean()) / (channel.var(unbiased=False) + 1e-5).sqrt() + code[i]
                for i, channel in enumerate(image)
            ])  # fmt: skip
        else:
            expected = torch.stack([0.3 * channel + 0.7 * code[i] for i, channel in enumerate(image)])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("fusion", WAYS)
def test_a_code_may_differ_from_place_to_place(fusion: str) -> None:
    network, features = make_network(fusion), torch.rand(2, 8, 4, 8)
    one, two = (network.encode_style(paint(seed)) for seed in (1, 2))
    uniform = network.fuse(features, one)
    torch.testing.assert_close(network.fuse(features, one.expand(-1, -1, 9, 3)), uniform)
    torch.testing.assert_close(network.fuse(features, one.expand(-1, -1, 1, 3)), uniform)
    halves = torch.cat([one.expand(-1, -1, 4, 4), two.expand(-1, -1, 4, 4)], dim=3)
    mixed = network.fuse(features, halves)
    torch.testing.assert_close(mixed[..., :4], uniform[..., :4])
    torch.testing.assert_close(mixed[..., 4:], network.fuse(features, two)[..., 4:])
    assert not torch.allclose(mixed[..., 4:], uniform[..., 4:])
    content = paint(0, 15, 33)
    torch.testing.assert_close(network(content, one.expand(-1, -1, 4, 9)), network(content, one))


def test_the_mean_code_is_used_where_none_is_given() -> None:
    network, content = make_network("adain"), paint(0)
    code = network.encode_style(paint(1))
    network.mean_code.copy_(code)
    assert torch.equal(network(content), network(content, code))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UserError, match="in_channels = 1 and out_channels = 3 must be equal"):
        build("FusionGenerator", in_channels=1)
    with pytest.raises(UserError, match=r"FusionGenerator\.fusion = 'sum': must be one of concatenate, adain"):
        make("fusion", fusion="sum")
    with pytest.raises(UserError, match=r"FusionGenerator\.share = 2: must lie between 0 and 1"):
        make("fusion", share=2)
    with pytest.raises(UserError, match="VGG looks at RGB: A has 1 channels and B has 3"):
        make("fusion", channels={"a": 1, "b": 3})


@pytest.mark.parametrize("fusion", WAYS)
def test_each_player_learns_from_its_own_terms_alone(fusion: str) -> None:
    """With nothing frozen: the decoder's losses stop before the encoders, an autoencoder's within it."""
    method = make("fusion", fusion=fusion)
    owners = {id(p): player.name for player in method.players() for p in player.parameters()}
    assert owners.keys() == {id(parameter) for parameter in method.parameters()}
    for player in method.players():
        method.zero_grad()
        images = method.render({"a": torch.rand(2, 3, 16, 20), "b": torch.rand(2, 3, 16, 20)})
        method.weights.sum(player.name, player.terms(images)).backward()
        for path, parameter in method.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert reached == (owners[id(parameter)] == player.name), f"{player.name}: {path}"


def test_terms_are_the_losses_of_the_rendered_images() -> None:
    method, a, b = make("fusion"), torch.rand(2, 3, 18, 16), torch.rand(2, 3, 18, 16)
    images = method.render({"a": a, "b": b})
    terms = {name: value for player in method.players() for name, value in player.terms(images).items()}
    network = method.generator_ab
    fake = network(a, network.encode_style(b))
    again = method.decoder_a(network.content_encoder(a), a), method.decoder_b(network.style_encoder(b), b)
    expected = {
        "content": method.loss.content(fake, a),
        "style": sum(method.loss.style(fake[i : i + 1], b[i : i + 1]) for i in range(2)) / 2,  # each its own style
        "total_variation": method.loss.total_variation(fake),
    }
    for domain, real, decoded in (("a", a, again[0]), ("b", b, again[1])):
        expected[f"reconstruction_{domain}"] = (decoded - real).abs().sum() / real.numel()
        expected[f"squared_{domain}"] = ((decoded - real) ** 2).sum() / real.numel()
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: name + text)


def test_pieces_of_a_batch_change_nothing_but_rounding() -> None:
    """The encoders move last, so that a batch rendered again for the decoder is the same."""
    states = []
    for pieces in (1, 2):
        method = make("fusion").double()
        MemoryOptions(micro_batches=pieces).apply(method)
        make_trainer(precision="64-true").fit(method, Batches(2, batch_size=2, dtype=torch.float64))
        states.append(method.state_dict())
    for name, tensor in states[0].items():
        if name != "generator_ab.mean_code":  # it follows one piece after the other
            torch.testing.assert_close(states[1][name], tensor, rtol=1e-6, atol=1e-9, msg=lambda text, n=name: n + text)


def test_reconstruction_and_style_are_learnt() -> None:
    method, smooth = make("fusion", init="kaiming", width=8), {"size": (16, 16), "mode": "bilinear"}
    batch = {domain: interpolate(paint(seed, 2, 2), **smooth) for seed, domain in enumerate("ab")}
    optimizers = method.configure_optimizers()
    history = []
    for _ in range(50):
        images = method.render(batch)
        losses = [method.weights.sum(player.name, player.terms(images)) for player in method.players()]
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = 0.002
        for optimizer in optimizers:
            optimizer.step()
        history.append([loss.item() for loss in losses])
    assert all(last < first / 2 for first, last in zip(history[0], history[-1], strict=True)), history[::49]


@pytest.mark.parametrize("fusion", WAYS)
def test_codes_are_mixed_by_weights_masks_and_strength(fusion: str) -> None:
    network = make_network(fusion)
    content, one, two = (paint(seed, 34, 48) * 0.5 ** (seed == 2) for seed in range(3))
    codes = [network.encode_style(style) for style in (one, two)]
    near = {"atol": 1e-4, "rtol": 1e-4}
    alone = paint_in(network, content, [Style(one)])
    torch.testing.assert_close(alone, network(content, codes[0]), **near)
    mixed = paint_in(network, content, [Style(one, weight=7), Style(two, weight=3)])
    torch.testing.assert_close(mixed, network(content, 0.7 * codes[0] + 0.3 * codes[1]), **near)
    assert (mixed - alone).abs().max() > 1e-3
    ones = torch.ones(1, 1, 34, 48)
    torch.testing.assert_close(paint_in(network, content, [Style(one, mask=ones)]), alone, **near)
    torch.testing.assert_close(paint_in(network, content, [Style(one)], 0.0), content, atol=1e-5, rtol=0)
    away = [(paint_in(network, content, [Style(one)], s) - content).abs().mean() for s in (0, 0.3, 0.6, 1)]
    assert all(later > earlier for earlier, later in pairwise(away))


def test_the_command_paints_with_a_bundle(tmp_path: Path) -> None:
    network = make_network("concatenate")
    NetworkTranslator(network).save(tmp_path / "fusion.safetensors")
    loaded = load_translator(tmp_path / "fusion.safetensors")
    assert loaded.network.describe() == network.describe()
    assert not any("decoder_" in name for name in loaded.network.state_dict())
    for name, seed in (("content", 0), ("one", 1), ("two", 2)):
        write_image(paint(seed, 30, 33)[0], tmp_path / f"{name}.png")
    content, one, two = (read_tensor(tmp_path / f"{name}.png")[None] for name in ("content", "one", "two"))
    torch.testing.assert_close(loaded(content, one), network(content, network.encode_style(one)))
    assert not torch.equal(loaded(content, one), loaded(content, two))
    words = ["stylize", str(tmp_path / "content.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    words += ["--style", f"{tmp_path}/one.png:0.7", "--style", f"{tmp_path}/two.png:0.3", "--translator"]
    assert main([*words, str(tmp_path / "fusion.safetensors")]) == 0
    expected = paint_in(network, content, [Style(one, weight=0.7), Style(two, weight=0.3)])[0]
    torch.testing.assert_close(read_tensor(tmp_path / "out" / "content.png"), expected, atol=0.02, rtol=0)
