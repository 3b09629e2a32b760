"""Networks that files describe: outlined and compared before they are built, and what is loaded into them."""

from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from conftest import make_cyclegan
from hostile_weights import write_header
from torch import nn

from diptych.arguments import Range
from diptych.errors import FileError, UserError
from diptych.methods.pretrained import Pretrained
from diptych.networks import Network, build, make_network, names
from diptych.networks.registry import _NETWORKS
from diptych.networks.saved import read_saved
from diptych.translators import NetworkTranslator, load_translator
from diptych.translators.bundle import find_misfit

pytestmark = pytest.mark.reliability
SMALL = {"network": "ResnetGenerator", "width": 4, "blocks": 1}


def start_from(path: Path) -> None:
    Pretrained("generator", {"pretrained": str(path)}).load({"ab": build(**SMALL)})


@pytest.mark.parametrize("name", [name for name in names() if _NETWORKS[name].__module__.startswith("diptych.")])
def test_every_number_that_a_network_is_built_from_is_bounded(name: str) -> None:
    """An argument without bounds asks for any number of layers."""
    hints = get_type_hints(_NETWORKS[name].__init__, include_extras=True)
    numbers = {key: hint for key, hint in hints.items() if {int, float, list} & {hint, *get_args(hint)}}
    assert numbers, name
    for key, hint in numbers.items():
        bounds = [bound for bound in get_args(hint) if isinstance(bound, Range)]
        assert bounds, f"{name}.{key}"
        assert bounds[0].high <= 1024, f"{name}.{key}"


@pytest.mark.parametrize("name", [name for name in names() if _NETWORKS[name].__module__.startswith("diptych.")])
def test_networks_are_outlined_as_they_are_built(name: str) -> None:
    """On the meta device the same tensors come about, in the twinkling of an eye, of the largest network too."""
    words = {"encoder": "small"}, {"encoder": "efficientnet_lite0"}, {"spectral_norm": True}
    for wish in ({}, *words, {"norm": "batch", "upsampling": "antialias"}):
        arguments = {key: value for key, value in wish.items() if key in get_type_hints(_NETWORKS[name].__init__)}
        real = make_network(name, arguments)
        with torch.device("meta"):
            outline = make_network(name, arguments)
        expected, outlined = real.state_dict(), outline.state_dict()
        assert list(expected) == list(outlined)
        assert all(tensor.is_meta for tensor in outlined.values())
        assert not [key for key in expected if find_misfit(outlined[key], expected[key])]


class ConstantNetwork(Network):
    """Has numbers that are no part of its state."""

    translates = True

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.zeros(1)), torch.tensor(0.25)
        self.register_buffer("middle", torch.tensor(0.5), persistent=False)
        self.tied = self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.middle + self.shift + self.scale + self.tied


def test_constants_and_tied_weights_of_a_loaded_network_are_real(tmp_path: Path) -> None:
    network = ConstantNetwork()
    nn.init.constant_(network.scale, 0.125)
    torch.save(network.state_dict(), tmp_path / "x.pth")
    header = {"format": 2, "network": "ConstantNetwork", "arguments": {}, "prefix": "g."}
    state = {f"g.{key}": tensor for key, tensor in network.state_dict().items()}
    content = {"diptych": {"format": 2, "translators": {"ab": header}}, "state_dict": state}
    torch.save(content, tmp_path / "x.ckpt")
    loaded = load_translator(tmp_path / "x.ckpt")
    assert loaded.network.tied is loaded.network.scale
    assert torch.equal(loaded(torch.zeros(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 0.5))


def test_numbers_too_large_for_the_network_are_spoilt_weights(tmp_path: Path) -> None:
    state = build(**SMALL).state_dict()
    state["model.1.bias"] = torch.full((4,), 1e300, dtype=torch.float64)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(FileError, match=r"tensor 'model\.1\.bias' holds NaN or infinity"):
        load_translator(tmp_path / "x.pth")
    with pytest.raises(FileError, match=r"tensor 'model\.1\.bias' holds NaN or infinity"):
        start_from(tmp_path / "x.pth")


def test_a_start_from_another_network_says_which_the_file_is_of(tmp_path: Path) -> None:
    NetworkTranslator(build("UnetGenerator", width=4, depth=2)).save(tmp_path / "unet.safetensors")
    torch.save(build("UnetGenerator", width=4, depth=3).state_dict(), tmp_path / "unet.pth")
    for name, depth in (("unet.safetensors", 2), ("unet.pth", 3)):
        with pytest.raises(FileError, match=rf"the file is of UnetGenerator \(.*width = 4, depth = {depth}, norm"):
            start_from(tmp_path / name)


def test_a_bundle_says_nothing_twice(tmp_path: Path) -> None:
    """What kind of translator a network makes is its class's to say."""
    NetworkTranslator(build(**SMALL)).save(tmp_path / "x.safetensors")
    text = (tmp_path / "x.safetensors").read_bytes()
    assert b"feed-forward" not in text
    header = {"format": 2, "kind": "iterative", "network": "UnetGenerator", "arguments": {}, "notes": {}}
    write_header(tmp_path / "y.safetensors", header)
    with pytest.raises(FileError, match="lacks tensor"):
        load_translator(tmp_path / "y.safetensors")


def test_a_network_of_another_package_does_not_take_the_place_of_ours() -> None:
    with pytest.raises(UserError, match="two networks are named UnetGenerator: diptych and test_hostile_weights each"):
        type("UnetGenerator", (Network,), {"__module__": "test_hostile_weights.inner"})
    assert build("UnetGenerator", depth=2, width=1).__class__.__module__.startswith("diptych.")
    again = type("ConstantNetwork", (Network,), {"__module__": ConstantNetwork.__module__})  # as in a notebook
    assert _NETWORKS["ConstantNetwork"] is again
    _NETWORKS["ConstantNetwork"] = ConstantNetwork


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_writes_is_read_as_torch_reads_it(legacy: bool, tmp_path: Path) -> None:
    dtypes = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    numbers = {str(dtype): torch.arange(6).view(2, 3).to(dtype) for dtype in [*dtypes, torch.uint8, torch.bool]}
    shared = torch.rand(4, 5)
    large = 300 if legacy else 2**40  # in the older form, whose storages torch believes, none is larger than the file
    content = {
        "numbers": numbers,
        "views": [shared, shared.t(), shared[1:, ::2], shared[2, 3], torch.zeros(0, 3), nn.Parameter(shared)],
        "words": {"a": [1, -1, large, -(2**70), 0.5, "é日", None, True], 5: (1, (2, 3), (4, 5, 6), ())},
        "ordered": make_cyclegan().state_dict(),
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    expect_same(read_saved(tmp_path / "x.pth"), torch.load(tmp_path / "x.pth", weights_only=True))


def expect_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        assert (found.dtype, found.stride()) == (wanted.dtype, wanted.stride())
        assert torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key, value in wanted.items():
            expect_same(found[key], value)
    elif isinstance(wanted, list | tuple):
        assert (type(found), len(found)) == (type(wanted), len(wanted))
        for one, other in zip(found, wanted, strict=True):
            expect_same(one, other)
    else:
        assert found == wanted
