"""3×3 convolutions with a quarter of the multiplications, for channels-last images on a CPU.

Fast Algorithms for Convolutional Neural Networks. Andrew Lavin, Scott Gray. CVPR 2016. https://arxiv.org/abs/1509.09308

F(4×4, 3×3): tiles of 6×6 input pixels make 4×4 output pixels by 36 products instead of 144. With channels last a
tile's pixel is a row of memory, so that each of the 36 products over all tiles is a plain matrix product, in the
backward too. The result is that of `conv2d` to rounding: its largest error is about 10⁻⁵ of its largest value.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_OUT, _IN = 4, 6
_SMALLEST_WIDTH = 128  # below, moving the data costs more than the products that are saved
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
    result: Tensor = _Winograd.apply(whole, weight, bias)  # type: ignore[no-untyped-call]
    return result[..., :height, :width] if any(missing) else result


@cache
def _matrices(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return B⊗B, G⊗G and A⊗A of F(4×4, 3×3): 36×36, 36×9 and 16×36; nodes 0, ±1, ±2, ∞ (Lavin & Gray, section 4)."""
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
    doubles = [torch.tensor(rows, dtype=torch.float64) for rows in (b, g, a)]
    to_input, to_weight, to_output = (torch.kron(matrix, matrix).to(dtype) for matrix in doubles)
    return to_input, to_weight, to_output


class _Winograd(torch.autograd.Function):
    """The convolution of whole tiles; only its inputs are kept for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        _, _, to_output = _matrices(x.dtype)
        products = torch.bmm(_transform_input(x), _transform_weight(weight).transpose(1, 2))
        tiles = to_output @ products.flatten(1)
        rows, columns = _count_tiles(x)
        result = tiles.new_empty(len(x), rows * _OUT, columns * _OUT, len(weight))
        split = result.view(len(x), rows, _OUT, columns, _OUT, -1).permute(2, 4, 0, 1, 3, 5)
        pixels = tiles.view(split.shape)
        split.copy_(pixels) if bias is None else torch.add(pixels, bias, out=split)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Every step of the forward is linear, so the backward is the transposed steps in turn."""
        x, weight = ctx.saved_tensors
        _, to_weight, to_output = _matrices(x.dtype)
        rows, columns = _count_tiles(x)
        split = gradient.permute(0, 2, 3, 1).reshape(len(x), rows, _OUT, columns, _OUT, -1)
        pixels = split.permute(2, 4, 0, 1, 3, 5).reshape(_OUT**2, -1)
        products = (to_output.t() @ pixels).view(_IN**2, -1, len(weight))
        to_x = to_w = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x = _transpose_input(torch.bmm(products, _transform_weight(weight)), x)
        if ctx.needs_input_grad[1]:
            inner = torch.bmm(products.transpose(1, 2), _transform_input(x))
            to_w = (to_weight.t() @ inner.flatten(1)).view(3, 3, *weight.shape[:2]).permute(2, 3, 0, 1)
        if ctx.needs_input_grad[2]:
            to_bias = gradient.sum((0, 2, 3))
        return to_x, to_w, to_bias


def _count_tiles(x: Tensor) -> tuple[int, int]:
    return (x.shape[-2] - 2) // _OUT, (x.shape[-1] - 2) // _OUT


def _transform_input(x: Tensor) -> Tensor:
    """Return B d Bᵀ of every tile d: 36×tiles×C (equation 9, the sum's right factor)."""
    to_input, _, _ = _matrices(x.dtype)
    pixels = x.permute(0, 2, 3, 1)
    image, row, column, channel = pixels.stride()
    shape = (_IN, _IN, len(x), *_count_tiles(x), x.shape[1])
    steps = (row, column, image, _OUT * row, _OUT * column, channel)
    tiles = pixels.as_strided(shape, steps).reshape(_IN**2, -1)  # neighbours share two rows: this copies
    return (to_input @ tiles).view(_IN**2, -1, x.shape[1])


def _transpose_input(tiles: Tensor, x: Tensor) -> Tensor:
    """Return the sum of Bᵀ t B over the tiles t (36×tiles×C) that a pixel of x lies in."""
    to_input, _, _ = _matrices(x.dtype)
    rows, columns = _count_tiles(x)
    pixels = (to_input.t() @ tiles.flatten(1)).view(_IN, _IN, len(x), rows, columns, -1)
    total = pixels.new_zeros(len(x), *x.shape[-2:], x.shape[1])
    for row in range(_IN):
        for column in range(_IN):
            total[:, row : row + _OUT * rows : _OUT, column : column + _OUT * columns : _OUT] += pixels[row, column]
    return total.permute(0, 3, 1, 2)


def _transform_weight(weight: Tensor) -> Tensor:
    """Return G g Gᵀ of every kernel g: 36×K×C."""
    _, to_weight, _ = _matrices(weight.dtype)
    return (to_weight @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(_IN**2, *weight.shape[:2])
