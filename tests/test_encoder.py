"""What losses look with: the small VGG that comes along, and trained networks' layers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diptych import load_encoder
from diptych.errors import FileError, UserError
from diptych.losses import Content, GramStyle
from diptych.networks import NetworkEncoder, Vgg, build
from diptych.networks.vgg import OWN
from diptych.translators import NetworkTranslator


def paint(seed: int) -> Tensor:
    return torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_encoder_that_comes_along_is_small_and_trained() -> None:
    assert OWN.stat().st_size < 2_000_000
    own, drawn = load_encoder("own"), Vgg("small", "random")
    assert isinstance(own, Vgg)
    assert (own.kind, own.names) == ("small", drawn.names)
    assert own.names[-1] == "relu5_1"
    features = own(paint(0), own.style_layers)
    assert [feature.shape[1] for feature in features.values()] == [16, 32, 64, 128, 128]
    weights = load_file(OWN)["features.0.weight"].float()
    scale = own.layers[0].weight.data / weights
    torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale), rtol=1e-3, atol=0)  # rescaled, no more
    assert not torch.equal(features["relu1_1"], drawn(paint(0), ("relu1_1",))["relu1_1"])


def test_a_file_says_which_vgg_it_is_of(tmp_path: Path) -> None:
    small = Vgg("small", "random", rescale=False)
    state = {f"features.{name.removeprefix('layers.')}": tensor for name, tensor in small.state_dict().items()}
    save_file(state, tmp_path / "small.safetensors")
    read = load_encoder(str(tmp_path / "small.safetensors"), rescale=False)
    assert isinstance(read, Vgg)
    assert read.kind == "small"
    for name, tensor in small(paint(0), ("relu1_1", "conv5_1")).items():
        assert torch.equal(read(paint(0), (name,))[name], tensor)
    with pytest.raises(UserError, match="no ImageNet weights of the small VGG; choose own"):
        Vgg("small", "imagenet")


def test_a_generators_layers_serve_as_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("ResnetGenerator", width=4, blocks=2).eval()
    NetworkTranslator(network).save(tmp_path / "ab.safetensors")
    encoder = load_encoder(str(tmp_path / "ab.safetensors"))
    assert isinstance(encoder, NetworkEncoder)
    layers = encoder.style_layers
    found = encoder(paint(0), layers)
    plain = network.features(paint(0), [int(name.removeprefix("layer")) for name in layers])
    for (name, feature), other in zip(found.items(), plain, strict=True):
        torch.testing.assert_close(feature * encoder.magnitudes[encoder.find(name)], other)
    halved = encoder(paint(0), layers, lambda name, feature: feature / 2)
    torch.testing.assert_close(halved[layers[1]], found[layers[1]] / 2)
    image = paint(1).requires_grad_()
    loss = Content(None, encoder)(image, paint(0)) + GramStyle(None, encoder)(image, paint(2))
    loss.backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(UserError, match="has no layer 'relu1_1'; there are layer0, layer1"):
        encoder(paint(0), ("relu1_1",))


def test_an_encoder_goes_where_images_are_and_sees_the_same_in_their_layout() -> None:
    encoder, image = Vgg("vgg16", "random"), paint(0).repeat(1, 1, 2, 3)
    names = ("relu1_1", "relu4_2")
    before = encoder(image, names)
    encoder.move_to(image)
    for name, features in encoder(image, names).items():  # wide and large enough for the quicker convolution
        torch.testing.assert_close(features, before[name], rtol=1e-3, atol=1e-3)
        assert features.is_contiguous(memory_format=torch.channels_last)
    features = encoder(image.clone().requires_grad_(), names)  # a graph that holds the weights
    encoder.move_to(image)
    features["relu4_2"].sum().backward()
    encoder.move_to(image.double())
    assert encoder(image.double(), names)["relu4_2"].dtype == torch.float64


def test_files_that_cannot_serve_are_named(tmp_path: Path) -> None:
    NetworkTranslator(build("UnetGenerator", width=4, depth=2)).save(tmp_path / "unet.safetensors")
    NetworkTranslator(build("ResnetGenerator", width=4, blocks=1, in_channels=1)).save(tmp_path / "grey.safetensors")
    with pytest.raises(UserError, match=r"unet\.safetensors: a UnetGenerator has no features to look with"):
        load_encoder(str(tmp_path / "unet.safetensors"))
    with pytest.raises(UserError, match="an encoder looks at RGB; this one takes 1 channels"):
        load_encoder(str(tmp_path / "grey.safetensors"))
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "grey.safetensors").read_bytes()[:100])
    with pytest.raises(FileError, match=r"torn\.safetensors: not a whole safetensors file"):
        load_encoder(str(tmp_path / "torn.safetensors"))
