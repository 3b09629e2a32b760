"""Winograd's convolution: the same function as `conv2d`, to rounding, and used only where it was measured to pay."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diptych.networks import build
from diptych.networks import winograd as module
from diptych.networks.winograd import Conv3x3, convolve, is_quicker
from diptych.training.allocation import keep_freed_memory


def make(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("height", "width"), [(6, 6), (10, 18), (7, 9), (3, 5), (13, 4)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("tiles_at_once", [1, 3, 9, 512])
def test_convolution_and_its_gradients_are_conv2ds(
    height: int, width: int, biased: bool, tiles_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TILES_AT_ONCE", tiles_at_once)
    inputs = [make(3, 5, height, width), make(4, 5, 3, 3), *([make(1, 4, 1, 1).flatten()] if biased else [])]
    inputs = [each.requires_grad_() for each in inputs]
    expected, result = F.conv2d(*inputs), convolve(*inputs)
    assert result.shape == expected.shape
    torch.testing.assert_close(result, expected, rtol=1e-11, atol=1e-11)
    upstream = make(*expected.shape)
    for own, theirs in zip(
        torch.autograd.grad(result, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(own, theirs, rtol=1e-11, atol=1e-11)


def test_in_single_precision_the_error_is_small_beside_the_largest_value() -> None:
    x, weight = make(1, 256, 34, 34, dtype=torch.float32), make(256, 256, 3, 3, dtype=torch.float32) * 0.02
    exact = F.conv2d(x.double(), weight.double())
    assert (convolve(x, weight) - exact).abs().max() < 5e-5 * exact.abs().max()


def test_the_gradient_may_come_in_any_layout() -> None:
    x, weight = make(1, 3, 6, 6).requires_grad_(), make(2, 3, 3, 3)
    upstream = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    ours = torch.autograd.grad(convolve(x, weight), x, upstream)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(F.conv2d(x, weight), x, upstream)[0])


def test_it_is_taken_for_wide_channels_last_images_alone() -> None:
    x, weight = make(1, 256, 34, 34, dtype=torch.float32), torch.zeros(256, 256, 3, 3)
    assert is_quicker(x, weight)
    assert not is_quicker(x.contiguous(), weight)
    assert not is_quicker(x.double(), weight)
    assert not is_quicker(x[:, :, :6, :6].contiguous(memory_format=torch.channels_last), weight)
    assert not is_quicker(x[:, :64].contiguous(memory_format=torch.channels_last), weight[:, :64])
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_quicker(x, weight)


@pytest.mark.parametrize("padding", [0, 1])
def test_the_layer_takes_either_way_and_has_the_state_of_a_convolution(
    padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, layer = nn.Conv2d(128, 128, 3, padding=padding), Conv3x3(128, 128, padding=padding)
    layer.load_state_dict(plain.state_dict())
    x, taken = make(1, 128, 34, 34, dtype=torch.float32), []
    monkeypatch.setattr(module, "convolve", lambda *args: taken.append(args) or convolve(*args))
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-3, atol=1e-4)
    assert len(taken) == 1
    torch.testing.assert_close(layer(x.contiguous()), plain(x.contiguous()))
    assert len(taken) == 1


def test_a_generator_gives_the_same_image_and_gradient_in_either_layout() -> None:
    torch.manual_seed(0)
    generator = build("ResnetGenerator", width=32, blocks=2)
    x = make(2, 3, 128, 128, dtype=torch.float32)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        generator.to(memory_format=layout).zero_grad()
        image = generator(x)
        image.square().mean().backward()
        results.append((image.detach(), generator.model[10].conv_block[1].weight.grad.clone()))
    (plain, plain_gradient), (quick, quick_gradient) = results
    torch.testing.assert_close(quick, plain, rtol=0, atol=2e-4)
    assert (quick_gradient - plain_gradient).abs().max() < 1e-3 * plain_gradient.abs().max()


def test_what_is_kept_between_calls_belongs_to_no_mode() -> None:
    """A fake or inference tensor that stayed behind would spoil every later call."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    x, weight = make(1, 4, 10, 10, dtype=torch.float32), make(3, 4, 3, 3, dtype=torch.float32)
    module._scratch._kept.clear()
    module._make_matrices.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert convolve(x, weight).shape == (1, 3, 8, 8)
    with torch.inference_mode():
        convolve(x, weight)
    weight.requires_grad_()
    result = convolve(x, weight)
    assert type(result) is Tensor
    result.sum().backward()
    torch.testing.assert_close(result, F.conv2d(x, weight), rtol=1e-4, atol=1e-4)


def test_calls_from_several_threads_do_not_share_their_scratch() -> None:
    from concurrent.futures import ThreadPoolExecutor

    inputs = [(make(1, 8, 30, 30 + index), make(8, 8, 3, 3)) for index in range(8)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda pair: convolve(*pair), inputs * 4))
    for (x, weight), result in zip(inputs * 4, results, strict=True):
        torch.testing.assert_close(result, F.conv2d(x, weight))


def test_compiled_and_exported_networks_see_a_plain_convolution() -> None:
    layer, x = Conv3x3(128, 128).to(memory_format=torch.channels_last), make(1, 128, 34, 34, dtype=torch.float32)
    program = torch.export.export(layer, (x,))
    assert any("conv2d" in str(node.target) for node in program.graph.nodes)


def test_freed_memory_can_be_kept_here() -> None:
    import platform

    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
