"""3×3 convolutions with a quarter of the multiplications, for channels-last images on a CPU.

Fast Algorithms for Convolutional Neural Networks. Andrew Lavin, Scott Gray. CVPR 2016. https://arxiv.org/abs/1509.09308

F(4×4, 3×3): tiles of 6×6 input pixels make 4×4 output pixels by 36 products instead of 144. With channels last a
tile's pixel is a row of memory, so that each of the 36 products over all tiles is a plain matrix product, in the
backward too. The result is that of `conv2d` to rounding: its largest error is about 10⁻⁵ of its largest value.
"""

import math
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FloatArray = npt.NDArray[np.float64]

_OUT, _IN = 4, 6
_SMALLEST_WIDTH = 128  # below, moving the data costs more than the products that are saved
_TILES_AT_ONCE = 512
_SMALLEST_WORK = 8192  # channels times tiles, likewise


class Conv3x3(nn.Conv2d):
    """A 3×3 convolution of stride 1 that takes the quicker way where there is one; its state is `nn.Conv2d`'s."""

    def __init__(self, in_channels: int, out_channels: int, padding: int = 0, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        padding = int(self.padding[0])
        if not is_quicker(x, self.weight, padding):
            return super().forward(x)
        return convolve(F.pad(x, (padding,) * 4) if padding else x, self.weight, self.bias)


def is_quicker(x: Tensor, weight: Tensor, padding: int = 0) -> bool:
    """Whether `convolve` takes these, and was measured to be quicker than `conv2d`."""
    if torch.compiler.is_compiling() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if x.dtype != torch.float32 or weight.dtype != torch.float32 or torch.onnx.is_in_onnx_export():
        return False
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return False
    width = min(weight.shape[:2])
    height_out, width_out = (side + 2 * padding - 2 for side in x.shape[-2:])
    if width < _SMALLEST_WIDTH or min(height_out, width_out) < 1:
        return False
    return width * len(x) * height_out * width_out >= _SMALLEST_WORK * _OUT**2


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the 3×3 convolution of N×C×H×W without padding, N×K×(H-2)×(W-2), channels last."""
    height, width = x.shape[-2] - 2, x.shape[-1] - 2
    missing = (-width % _OUT, -height % _OUT)
    whole = F.pad(x, (0, missing[0], 0, missing[1])) if any(missing) else x
    result: Tensor = _Winograd.apply(whole, weight, bias)
    return result[..., :height, :width] if any(missing) else result


def _matrices(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return B⊗B, G⊗G and A⊗A of F(4×4, 3×3): 36×36, 36×9 and 16×36.

    Arrays are kept rather than tensors, as a tensor would remember the mode (inference, fake) it was first made in.
    """
    to_input, to_weight, to_output = (torch.from_numpy(matrix).to(dtype) for matrix in _make_matrices())
    return to_input, to_weight, to_output


@cache
def _make_matrices() -> tuple[FloatArray, ...]:
    """The nodes are 0, ±1, ±2 and ∞ (Lavin & Gray, section 4.3)."""
    b = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    g = [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
    a = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    return tuple(np.kron(matrix, matrix).astype(np.float64) for matrix in map(np.array, (b, g, a)))


class _Scratch(threading.local):
    """Memory for what lives within one call, kept for the next: asking for it anew would cost as much as the products.

    Kept as arrays for the same reason as the matrices.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype], npt.NDArray[Any]] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Return a tensor whose content is whatever was there."""
        count = math.prod(shape)
        array = self._kept.get((name, like.dtype))
        if array is None or array.size < count:
            array = np.empty(count, {torch.float32: np.float32, torch.float64: np.float64}[like.dtype])
            self._kept[name, like.dtype] = array
        return torch.from_numpy(array[:count]).view(shape)


_scratch = _Scratch()


class _Winograd(torch.autograd.Function):
    """The convolution of whole tiles; only its inputs are kept for the backward. Inside, images are N×H×W×C."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        _, _, to_output = _matrices(x.dtype)
        pixels = x.permute(0, 2, 3, 1)
        result = x.new_empty(len(x), x.shape[-2] - 2, x.shape[-1] - 2, len(weight))
        kernels = _transform_weight(weight).transpose(1, 2)
        for read, written in _split(pixels):
            tiles = _transform_input(pixels[read])
            products = _scratch.take("one", x, *tiles.shape[:2], len(weight))
            torch.bmm(tiles, kernels, out=products)
            outputs = _scratch.take("two", x, _OUT**2, products[0].numel())
            torch.mm(to_output, products.flatten(1), out=outputs)
            place = _view_tiles(result[written])
            outputs = outputs.view(place.shape)
            place.copy_(outputs) if bias is None else torch.add(outputs, bias, out=place)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Every step of the forward is linear, so the backward is the transposed steps in turn."""
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        _, to_weight, to_output = _matrices(x.dtype)
        pixels, upstream = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
        total = torch.zeros_like(pixels) if wants_x else None
        kernels = _transform_weight(weight) if wants_x else None
        inner = _scratch.take("inner", x, _IN**2, *weight.shape[:2]) if wants_weight else None
        earlier = 0.0  # times what the scratch held, which `beta` of zero ignores
        for read, written in _split(pixels):
            place = _view_tiles(upstream[written])
            outputs = _scratch.take("one", x, *place.shape).copy_(place).view(_OUT**2, -1)
            products = _scratch.take("three", x, _IN**2, outputs.shape[1])
            torch.mm(to_output.t(), outputs, out=products)
            products = products.view(_IN**2, -1, len(weight))
            if inner is not None:
                inner.baddbmm_(products.transpose(1, 2), _transform_input(pixels[read]), beta=earlier)
                earlier = 1.0
            if total is not None and kernels is not None:
                tiles = _scratch.take("one", x, *products.shape[:2], x.shape[1])
                _add_tiles(torch.bmm(products, kernels, out=tiles), total[read])
        return (
            total.permute(0, 3, 1, 2) if total is not None else None,
            (to_weight.t() @ inner.flatten(1)).view(3, 3, *weight.shape[:2]).permute(2, 3, 0, 1)
            if inner is not None
            else None,
            gradient.sum((0, 2, 3)) if wants_bias else None,
        )


def _split(pixels: Tensor) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield the slices of images and rows that are read, and written, for some hundred tiles at a time."""
    rows, columns = _count_tiles(pixels)
    images_at_once = max(1, _TILES_AT_ONCE // (rows * columns))
    rows_at_once = min(rows, max(1, _TILES_AT_ONCE // columns))
    for image in range(0, len(pixels), images_at_once):
        images = slice(image, image + images_at_once)
        for row in range(0, rows, rows_at_once):
            start, stop = _OUT * row, _OUT * min(row + rows_at_once, rows)
            yield (images, slice(start, stop + 2)), (images, slice(start, stop))


def _count_tiles(pixels: Tensor) -> tuple[int, int]:
    return (pixels.shape[1] - 2) // _OUT, (pixels.shape[2] - 2) // _OUT


def _view_tiles(outputs: Tensor) -> Tensor:
    """Return N×H×W×K as 4×4×N×rows×columns×K tiles."""
    images, height, width, channels = outputs.shape
    return outputs.view(images, height // _OUT, _OUT, width // _OUT, _OUT, channels).permute(2, 4, 0, 1, 3, 5)


def _transform_input(pixels: Tensor) -> Tensor:
    """Return B d Bᵀ of every tile d: 36×tiles×C (equation 9, the sum's right factor)."""
    to_input, _, _ = _matrices(pixels.dtype)
    image, row, column, channel = pixels.stride()
    shape = (_IN, _IN, len(pixels), *_count_tiles(pixels), pixels.shape[-1])
    steps = (row, column, image, _OUT * row, _OUT * column, channel)
    overlapping = pixels.as_strided(shape, steps, pixels.storage_offset())
    tiles = _scratch.take("one", pixels, *shape).copy_(overlapping).view(_IN**2, -1)
    transformed = _scratch.take("two", pixels, *tiles.shape)
    return torch.mm(to_input, tiles, out=transformed).view(_IN**2, -1, pixels.shape[-1])


def _add_tiles(tiles: Tensor, total: Tensor) -> None:
    """Add Bᵀ t B of the tiles t (36×tiles×C) to the pixels that each of them was made from."""
    to_input, _, _ = _matrices(tiles.dtype)
    rows, columns = _count_tiles(total)
    pixels = _scratch.take("two", tiles, _IN**2, tiles[0].numel())
    torch.mm(to_input.t(), tiles.flatten(1), out=pixels)
    pixels = pixels.view(_IN, _IN, len(total), rows, columns, -1)
    for row in range(_IN):
        for column in range(_IN):
            total[:, row : row + _OUT * rows : _OUT, column : column + _OUT * columns : _OUT] += pixels[row, column]


def _transform_weight(weight: Tensor) -> Tensor:
    """Return G g Gᵀ of every kernel g: 36×K×C."""
    _, to_weight, _ = _matrices(weight.dtype)
    kernels = weight.permute(2, 3, 0, 1).reshape(9, -1)
    transformed = _scratch.take("weight", weight, _IN**2, kernels.shape[1])
    return torch.mm(to_weight, kernels, out=transformed).view(_IN**2, *weight.shape[:2])
