"""Networks start from a file's weights: which file, whose network, and what must fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_cyclegan
from torch import Tensor, nn

from diptych.errors import FileError, UserError
from diptych.losses import LeastSquares
from diptych.methods import GAN, Method, Pix2Pix, SimDCL
from diptych.methods.pretrained import Pretrained, keep_pretrained
from diptych.networks import Network, build
from diptych.translators import NetworkTranslator

GENERATOR = {"network": "ResnetGenerator", "width": 4, "blocks": 1}
DISCRIMINATOR = {"network": "PatchDiscriminator", "width": 4, "layers": 2}


def make_network(settings: dict[str, Any] = GENERATOR, value: float = 0.5, **changes: Any) -> Network:
    """Return a network whose every weight is one number."""
    network = build(**{**settings, **changes})
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    return network


def save_bundle(path: Path, network: Network) -> str:
    NetworkTranslator(network).save(path)
    return str(path)


def save_plain(path: Path, network: Network, prefix: str = "") -> str:
    torch.save({f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}, path)
    return str(path)


def holds(network: nn.Module, value: float) -> bool:
    return all(bool((parameter == value).all()) for parameter in network.parameters())


def save_checkpoint(path: Path, method: Method, averaged: dict[str, Any] | None = None) -> str:
    translators = {d: {**n.describe(), "prefix": f"generator_{d}."} for d, n in method.translators.items()}
    header = {"format": 2, "translators": translators}
    callbacks = {"EMA": {"averaged": averaged}} if averaged else {}
    torch.save({"diptych": header, "state_dict": method.state_dict(), "callbacks": callbacks}, path)
    return str(path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """A checkpoint of four networks, each of one number."""
    method = make_cyclegan()
    for number, network in enumerate(method.children(), 1):
        for parameter in network.parameters():
            nn.init.constant_(parameter, number)
    return save_checkpoint(tmp_path / "four.ckpt", method)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_one_file_for_all_generators(kind: str, prefix: str, tmp_path: Path) -> None:
    save = save_bundle if kind == "safetensors" else lambda path, network: save_plain(path, network, prefix)
    file = save(tmp_path / f"weights.{kind}", make_network())
    method = make_cyclegan(generator={**GENERATOR, "pretrained": file})
    assert holds(method.generator_ab, 0.5)
    assert holds(method.generator_ba, 0.5)
    assert not holds(method.discriminator_a, 0.5)
    assert "pretrained" not in method.generator_ab.arguments


def test_a_file_for_each_direction(tmp_path: Path) -> None:
    ab = save_bundle(tmp_path / "ab.safetensors", make_network(value=0.1))
    ba = save_plain(tmp_path / "ba.pth", make_network(value=0.2))
    method = make_cyclegan(generator={**GENERATOR, "pretrained": {"ab": ab, "ba": ba}})
    assert holds(method.generator_ab, 0.1)
    assert holds(method.generator_ba, 0.2)
    half = make_cyclegan(generator={**GENERATOR, "pretrained": {"ba": ba, "ab": None}})
    assert holds(half.generator_ba, 0.2)
    assert not holds(half.generator_ab, 0.1)


def test_of_a_checkpoint_the_network_of_the_same_name(checkpoint: str) -> None:
    starts = {"pretrained": checkpoint}
    method = make_cyclegan(generator={**GENERATOR, **starts}, discriminator={**DISCRIMINATOR, **starts})
    values = dict(method.named_children())
    order = [name for name, _ in make_cyclegan().named_children()]
    assert len(order) == 4
    for number, name in enumerate(order, 1):
        assert holds(values[name], number), name


def test_of_a_checkpoint_the_average(tmp_path: Path) -> None:
    method = make_cyclegan()
    file = save_checkpoint(tmp_path / "a.ckpt", method, {"ab": make_network(value=0.7).state_dict()})
    begun = make_cyclegan(generator={**GENERATOR, "pretrained": {"ab": file}})
    assert holds(begun.generator_ab, 0.7)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_discriminators_of_their_own_weights(kind: str, tmp_path: Path) -> None:
    save = save_bundle if kind == "safetensors" else save_plain
    file = save(tmp_path / f"judge.{kind}", make_network(DISCRIMINATOR))
    method = make_cyclegan(discriminator={**DISCRIMINATOR, "pretrained": {"b": file}})
    assert holds(method.discriminator_b, 0.5)
    assert not holds(method.discriminator_a, 0.5)


def test_a_discriminator_that_judges_pairs_starts_too(tmp_path: Path) -> None:
    file = save_plain(tmp_path / "judge.pth", make_network(DISCRIMINATOR, in_channels=6))
    method = make_method(Pix2Pix, discriminator={**DISCRIMINATOR, "pretrained": file})
    assert holds(method.discriminator_b, 0.5)


def make_method(kind: type[Method], **changes: Any) -> Any:
    settings: dict[str, Any] = {"generator": GENERATOR, "discriminator": DISCRIMINATOR, "adversarial": LeastSquares()}
    return kind(**(settings | {"weights": {}, "optimizer": {}, "schedule": None} | changes))


def spoil(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, torch.nan) for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {n: t for n, t in s.items() if n != "model.1.bias"}, "lacks tensor 'model.1.bias'"),
        (lambda s: s | {"model.99.bias": torch.ones(1)}, "has an extra tensor 'model.99.bias'"),
        (lambda s: s | {"model.1.bias": torch.ones(9)}, "tensor 'model.1.bias' has shape (9,) instead of (4,)"),
        (lambda s: s | {"model.1.bias": torch.ones(4).int()}, "tensor 'model.1.bias' holds torch.int32 instead of"),
        (spoil, "tensor 'model.1.weight' holds NaN or infinity"),
        (lambda s: {"weights": s}, "neither a bundle, nor a checkpoint, nor plain tensors"),
        (lambda s: {}, "neither a bundle, nor a checkpoint, nor plain tensors"),
    ],
)
def test_what_does_not_fit_is_named_in_a_line(change: Any, said: str, tmp_path: Path) -> None:
    torch.save(change(dict(make_network().state_dict())), tmp_path / "w.pth")
    with pytest.raises(FileError) as caught:
        make_method(GAN, generator={**GENERATOR, "pretrained": str(tmp_path / "w.pth")})
    assert str(caught.value).startswith(f"{tmp_path / 'w.pth'}: {said}")
    assert "\n" not in str(caught.value)
    if "tensor '" in said and "NaN" not in said:
        assert "generator.pretrained_strict=false" in str(caught.value)


def test_what_fits_is_loaded_where_not_all_must(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A generator of more blocks has the others' ends; what a file lacks is drawn."""
    file = save_plain(tmp_path / "w.pth", make_network())
    deeper = {**GENERATOR, "blocks": 2, "pretrained": file, "pretrained_strict": False}
    method = make_method(GAN, generator=deeper)
    said = capsys.readouterr().out
    held, begun = make_network().state_dict(), method.generator_ab.state_dict()
    fits = [name for name, tensor in begun.items() if name in held and held[name].shape == tensor.shape]
    assert 0 < len(fits) < len(begun)
    assert {name for name, tensor in begun.items() if bool((tensor == 0.5).all())} == set(fits)
    unfit = len(begun.keys() | held.keys()) - len(fits)
    first = next(name for name in begun if name not in fits)
    assert said.count("\n") == 1
    assert said.startswith(f"{file}: {unfit} tensors did not fit generator_ab: {first}, ")


def test_nothing_that_fits_is_an_error_all_the_same(tmp_path: Path) -> None:
    torch.save({"other": torch.ones(1)}, tmp_path / "w.pth")
    settings = {**GENERATOR, "pretrained": str(tmp_path / "w.pth"), "pretrained_strict": False}
    with pytest.raises(FileError, match=r"w.pth: none of its tensors fits generator_ab"):
        make_method(GAN, generator=settings)


def test_what_does_not_fit_is_said_once_where_all_begin_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"network": "ResnetGenerator", "width": 4, "blocks": 6}
    file = save_plain(tmp_path / "w.pth", make_network(network, blocks=5))
    method = make_method(SimDCL, generator={**network, "pretrained": file, "pretrained_strict": False})
    assert bool((method.generator_ba.state_dict()["model.1.bias"] == 0.5).all())
    assert capsys.readouterr().out.count("did not fit") == 2  # one line for each direction


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"pretrained": 3}, "generator.pretrained = 3: must be a word or a file or a mapping"),
        ({"pretrained": {"ab": 3}}, "generator.pretrained.ab = 3: must be a word or a file or null"),
        ({"pretrained": {"ba": "x"}}, "generator.pretrained.ba: this method has generator_ab"),
        ({"pretrained_strict": "no"}, "generator.pretrained_strict = 'no': must be true or false"),
        ({"pretrained": "nowhere.pth"}, "nowhere.pth: no such file"),
    ],
)
def test_a_wish_that_cannot_be_met(wish: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        make_method(GAN, generator=GENERATOR | wish)
    assert str(caught.value).startswith(said)


def test_a_checkpoint_without_the_network_says_what_it_has(tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "one.ckpt", make_method(GAN))
    with pytest.raises(FileError, match=r"one.ckpt: holds no direction 'ba', only ab"):
        make_cyclegan(generator={**GENERATOR, "pretrained": file})
    with pytest.raises(FileError, match=r"one.ckpt: holds no discriminator_a, only discriminator_b, generator_ab"):
        make_cyclegan(discriminator={**DISCRIMINATOR, "pretrained": file})


def test_only_what_is_said_of_weights_is_kept() -> None:
    assert keep_pretrained({**GENERATOR, "pretrained": "x"}) == {"pretrained": "x"}
    assert keep_pretrained(None) == {}
    Pretrained("generator", {}).load({})  # nothing is asked for, and nothing is missed
