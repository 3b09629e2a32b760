"""The small layers that several networks share: norms, antialiased resampling, padding for any size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def make_norm(kind: str, channels: int) -> nn.Module:
    """Return a norm layer; instance norm has neither parameters nor running statistics (Zhu 2017)."""
    if kind == "instance":
        return InstanceNorm(channels, affine=False, track_running_stats=False)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.Identity()


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm that leaves channels-last images as they lie; PyTorch's own lays them out anew, twice a layer.

    The norm of one image over its positions is a batch norm of one image, which has a kernel for this layout.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        alone = [F.batch_norm(image, None, None, training=True, eps=self.eps) for image in x.split(1)]
        return alone[0] if len(alone) == 1 else torch.cat(alone)


def uses_bias(norm: str) -> bool:
    """Whether a convolution before this norm has a bias: only instance norm's, as in the original code."""
    return norm == "instance"


def normalise_spectrum(network: nn.Module) -> None:
    """Put spectral norm (Miyato 2018) on every convolution of the network."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            spectral_norm(module)


def reflect_indices(length: int, before: int, after: int, device: torch.device) -> Tensor:
    """Return the indices -before … length + after - 1, reflected to and fro into the image's `length` pixels."""
    period = max(2 * (length - 1), 1)
    position = torch.arange(-before, length + after, device=device) % period
    return torch.minimum(position, period - position).clamp(max=length - 1)


class ReflectionPad(nn.ReflectionPad2d):
    """Reflection padding whose backward is deterministic on CUDA too where that is asked for."""

    def forward(self, x: Tensor) -> Tensor:
        if not (x.is_cuda and torch.are_deterministic_algorithms_enabled()):
            return super().forward(x)
        return self.gather(x)

    def gather(self, x: Tensor) -> Tensor:
        """Pad by indexing, the backward of which adds up in a fixed order."""
        left, right, top, bottom = self.padding
        rows = reflect_indices(x.shape[-2], top, bottom, x.device)
        return x.index_select(-2, rows).index_select(-1, reflect_indices(x.shape[-1], left, right, x.device))


def _make_kernel(taps: list[float], channels: int) -> Tensor:
    row = torch.tensor(taps)
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone()


class BlurDown(nn.Module):
    """Halve the resolution after a [1, 2, 1] blur, so that strides do not alias (Zhang 2019)."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = ReflectionPad(1)
        self.register_buffer("filt", _make_kernel([1.0, 2.0, 1.0], channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.pad(x), self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Double the resolution by a [1, 3, 3, 1] kernel: linear interpolation without a checkerboard."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _make_kernel([1.0, 3.0, 3.0, 1.0], channels) * 4)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])[..., 1:-1, 1:-1]


def pad_to_multiple(x: Tensor, multiple: int, minimum: int) -> Tensor:
    """Extend right and bottom by reflection to at least `minimum` and a multiple of `multiple`.

    Unlike `ReflectionPad2d` this also extends an image past twice its own size (1×1, 3×5000).
    """
    for axis in (-2, -1):
        length = x.shape[axis]
        target = max(-(-length // multiple) * multiple, minimum)
        if target != length:
            x = x.index_select(axis, reflect_indices(length, 0, target - length, x.device))
    return x
