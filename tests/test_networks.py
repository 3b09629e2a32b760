"""Networks: shapes for any size, parameter counts of the published ones, arguments checked."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from diptych.errors import UserError
from diptych.networks import build, build_for, find_default_layers, initialise, names, registry
from diptych.networks.layers import BlurDown, BlurUp, ReflectionPad, make_norm, reflect_indices

GENERATORS = [
    {"network": "ResnetGenerator", "width": 2, "blocks": 0},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1, "upsampling": "resize"},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1, "upsampling": "antialias", "downsampling": "antialias"},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1, "norm": "batch", "dropout": True},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1, "norm": "none", "spectral_norm": True},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1, "residual": True},
    {"network": "ResnetGenerator", "width": 2, "blocks": 1, "separable": True},
    {"network": "FusionGenerator", "width": 2},
    {"network": "FusionGenerator", "width": 2, "fusion": "concatenate"},
    {"network": "FusionGenerator", "width": 2, "fusion": "weighted", "share": 0.8},
    {"network": "UnetGenerator", "width": 2, "depth": 3},
    {"network": "UnetGenerator", "width": 2, "depth": 5, "norm": "batch", "dropout": True},
]
DISCRIMINATORS = [
    {"network": "PatchDiscriminator", "width": 2},
    {"network": "PatchDiscriminator", "width": 2, "layers": 1, "norm": "none"},
    {"network": "PatchDiscriminator", "width": 2, "layers": 5, "downsampling": "antialias", "spectral_norm": True},
    {"network": "PixelDiscriminator", "width": 2},
]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (255, 33), (16, 16), (7, 64)])
@pytest.mark.parametrize("config", GENERATORS, ids=str)
def test_generator_keeps_any_size(config: dict, size: tuple[int, int]) -> None:
    network = build(**config).eval()
    images = torch.rand(2, 3, *size) * 2 - 1
    with torch.no_grad():
        result = network(images)
    assert result.shape == images.shape
    assert result.isfinite().all()
    assert result.abs().max() <= 1


def test_generator_changes_the_number_of_channels() -> None:
    network = build("ResnetGenerator", in_channels=1, out_channels=4, width=2, blocks=1)
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 4, 16, 16)


def test_padding_leaves_divisible_sizes_alone() -> None:
    """A size that needs no padding goes through the published layers and nothing else."""
    network = build("ResnetGenerator", width=2, blocks=1).eval()
    images = torch.rand(1, 3, 32, 48)
    torch.testing.assert_close(network(images), network.model(images), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (64, 48)])
@pytest.mark.parametrize("config", DISCRIMINATORS, ids=str)
def test_discriminator_takes_any_size(config: dict, size: tuple[int, int]) -> None:
    logits = build(**config)(torch.rand(2, 3, *size))
    assert logits.shape[:2] == (2, 1)
    assert logits.isfinite().all()


def test_patches_of_published_discriminator() -> None:
    assert build("PatchDiscriminator", width=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"network": "ResnetGenerator"}, 11_378_179),
        # 18 trunk convolutions of 256·256·9 + 256 become 256·9 + 256 + 256·256 + 256
        ({"network": "ResnetGenerator", "separable": True}, 11_378_179 - 18 * (256 * 256 * 8 - 256 * 9 - 256)),
        ({"network": "PatchDiscriminator"}, 2_764_737),
        ({"network": "UnetGenerator", "norm": "batch"}, 54_413_955),
    ],
    ids=str,
)
def test_parameter_counts_of_published_networks(config: dict, count: int) -> None:
    with torch.device("meta"):
        network = build(**config)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_instance_norm_generator_sees_each_image_alone() -> None:
    network = build("ResnetGenerator", width=2, blocks=1)
    images = torch.rand(3, 3, 16, 16)
    together, alone = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_spectral_norm_bounds_every_convolution() -> None:
    torch.manual_seed(0)  # power iteration takes longer where two singular values are close
    network = build("PatchDiscriminator", width=4, spectral_norm=True)
    initialise(network, init_gain=1.0)
    for _ in range(30):
        network(torch.rand(1, 3, 32, 32))
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert torch.linalg.matrix_norm(module.weight.flatten(1), 2) < 1.05


def test_blur_down_and_up_keep_a_constant() -> None:
    constant = torch.full((1, 2, 8, 8), 0.5)
    for layer, side in ((BlurDown(2), 4), (BlurUp(2), 16)):
        torch.testing.assert_close(layer(constant), torch.full((1, 2, side, side), 0.5))


def test_reflection_runs_to_and_fro() -> None:
    assert reflect_indices(3, 0, 5, torch.device("cpu")).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert reflect_indices(1, 1, 1, torch.device("cpu")).tolist() == [0, 0, 0]


def test_deterministic_padding_is_the_same_padding() -> None:
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    pad = ReflectionPad(3)
    assert torch.equal(pad.gather(images), pad(images))
    weights = torch.rand(2, 3, 11, 13, dtype=torch.float64)
    (one,), (other,) = (torch.autograd.grad((f(images) * weights).sum(), images) for f in (pad.gather, pad))
    torch.testing.assert_close(one, other)


def test_a_generator_without_blocks_is_a_plain_encoder_and_decoder() -> None:
    plain, residual = (build("ResnetGenerator", width=2, blocks=blocks) for blocks in (0, 1))
    layers = [layer for index, layer in enumerate(residual.model) if index != residual.depth - 1]
    assert [type(layer) for layer in plain.model] == [type(layer) for layer in layers]
    assert plain.depth == residual.depth - 1
    assert find_default_layers(plain) == [0, 4, 7, 9]
    images = torch.rand(1, 3, 16, 12)
    features = plain.features(images, [4, 9])
    torch.testing.assert_close(plain.model[10:](features[1]), plain(images))
    with pytest.raises(UserError, match=r"ResnetGenerator\.blocks = -1: must lie between 0 and 64"):
        build("ResnetGenerator", blocks=-1)


@pytest.mark.parametrize("init", ["normal", "xavier", "kaiming", "orthogonal"])
def test_initialisation(init: str) -> None:
    layer = nn.Conv2d(64, 64, 3)
    torch.manual_seed(0)
    initialise(layer, init, init_gain=0.02)
    assert layer.bias is not None
    assert layer.bias.abs().max() == 0
    weight = layer.weight.detach()
    fan_in = 64 * 9
    expected = {"normal": 0.02, "xavier": 0.02 * (2 / (2 * fan_in)) ** 0.5, "kaiming": (2 / fan_in) ** 0.5}
    if init == "orthogonal":
        rows = weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, 0.0004 * torch.eye(64), atol=1e-6, rtol=0)
    else:
        assert weight.std().item() == pytest.approx(expected[init], rel=0.03)


def test_initialisation_reaches_beneath_spectral_norm() -> None:
    plain, normed = (build("PatchDiscriminator", width=4, spectral_norm=flag) for flag in (False, True))
    for network in (plain, normed):
        torch.manual_seed(0)
        initialise(network, init_gain=1.0)
    first = normed.model[0].parametrizations.weight.original
    torch.testing.assert_close(first, plain.model[0].weight)


def test_network_describes_itself() -> None:
    network = build("ResnetGenerator", width=2, blocks=3)
    described = network.describe()
    assert described["arguments"]["upsampling"] == "transposed"
    again = build(described["network"], **described["arguments"])
    assert again.describe() == described
    assert [p.shape for p in again.parameters()] == [p.shape for p in network.parameters()]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"network": "ResnetGenerater"}, "did you mean 'ResnetGenerator'"),
        ({"network": "ResnetGenerator", "widht": 3}, "did you mean 'width'"),
        ({"network": "ResnetGenerator", "width": 10**9}, "between 1 and 1024"),
        ({"network": "ResnetGenerator", "width": "64"}, "a whole number"),
        ({"network": "ResnetGenerator", "width": True}, "a whole number"),
        ({"network": "ResnetGenerator", "norm": "layer"}, "one of instance, batch, none"),
        ({"network": "os.system"}, "unknown network"),
    ],
    ids=str,
)
def test_wrong_networks_are_refused(config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**config)


def test_unknown_initialisation_is_refused() -> None:
    with pytest.raises(UserError, match="normal, xavier, kaiming, orthogonal"):
        initialise(nn.Conv2d(1, 1, 1), "gaussian")


def test_every_network_has_a_recipe_or_a_test() -> None:
    """Those that are not among these have a test of their own, which names them."""
    tested = {config["network"] for config in GENERATORS + DISCRIMINATORS}
    others = [path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    ours = {name for name in names() if registry._NETWORKS[name].__module__.startswith("diptych.")}
    forgotten = [name for name in ours - tested if not any(re.search(rf"\b{name}\(", text) for text in others)]
    assert tested <= set(names())
    assert not forgotten


def test_channels_follow_from_the_data() -> None:
    generator = build_for({"network": "ResnetGenerator", "width": 4, "blocks": 1}, in_channels=1, out_channels=5)
    assert generator(torch.zeros(1, 1, 16, 16)).shape == (1, 5, 16, 16)
    with pytest.raises(UserError, match=r"PixelDiscriminator\.in_channels follows from data\.channels_a"):
        build_for({"network": "PixelDiscriminator", "in_channels": 3}, in_channels=1)


@pytest.mark.parametrize("count", [1, 3])
def test_instance_norm_leaves_the_layout_alone(count: int) -> None:
    torch.manual_seed(0)
    plain = (torch.randn(count, 5, 9, 7) * 3 + 2).requires_grad_()
    last = plain.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    norm, gradient = make_norm("instance", 5), torch.randn(count, 5, 9, 7)
    one, other = torch.nn.functional.instance_norm(plain), norm(last)
    assert other.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(one, other)
    one.backward(gradient)
    other.backward(gradient)
    torch.testing.assert_close(plain.grad, last.grad)


@pytest.mark.parametrize("network", ["ResnetGenerator", "UnetGenerator", "PatchDiscriminator"])
def test_the_layout_changes_nothing_but_rounding(network: str) -> None:
    torch.manual_seed(0)
    plain = build(network, **({"width": 4} | ({"depth": 3} if network == "UnetGenerator" else {}))).double()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 32, 24, dtype=torch.float64)
    results = [one(images) for one in (plain, last)]
    torch.testing.assert_close(*results)
    for result in results:
        result.square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("blocks", "dropout", "share"), [(6, False, 0.6), (6, True, 0.6), (0, False, 0.9)])
def test_recomputing_changes_nothing_and_keeps_less(blocks: int, dropout: bool, share: float) -> None:
    torch.manual_seed(0)
    plain = build("ResnetGenerator", width=4, blocks=blocks, dropout=dropout)
    thrifty = copy.deepcopy(plain)
    thrifty.recomputes = True
    images = torch.rand(1, 3, 32, 32)
    results, gradients, kept = [], [], []
    for network in (plain, thrifty):
        saved: list[int] = []
        torch.manual_seed(1)
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda t, saved=saved: (saved.append(t.numel()), t)[1], lambda t: t
        )
        with hooks:
            result = network(images)
        kept.append(sum(saved))
        result.square().sum().backward()
        results.append(result)
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert torch.equal(*results)
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert kept[1] < share * kept[0]
