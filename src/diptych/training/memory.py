"""Training in less memory and more time, to the same gradients but for rounding, and what to do where it is short."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from diptych.errors import MachineError, UserError, is_exhaustion
from diptych.methods import Method
from diptych.networks import Network, sees_images_alone
from diptych.training.micro_batches import MicroBatches

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_SPECTRAL = nn.utils.parametrizations._SpectralNorm


@dataclass(frozen=True)
class MemoryOptions:
    """`recompute`: networks compute activations again in the backward; `micro_batches`: so many pieces of a batch."""

    recompute: bool = False
    micro_batches: int = 1

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise UserError(f"accumulate = {self.micro_batches} must be at least 1")

    def apply(self, method: Method) -> None:
        """Let a method train so; `UserError` names what of it cannot."""
        if self.recompute:
            recomputable = find_recomputable(method)
            if not recomputable:
                raise UserError(
                    "recompute=true: no network of this recipe can; generator=resnet with instance norm does"
                )
            for network in recomputable:
                network.recomputes = True
        if self.micro_batches > 1:
            if obstacle := next(find_obstacles(method), None):
                raise UserError(f"accumulate={self.micro_batches}: {obstacle}; use data.batch_size alone")
            parameters = [p for network in method.translators.values() for p in network.parameters()]
            method.renderer = partial(MicroBatches, count=self.micro_batches, parameters=parameters)


def list_networks(method: Method) -> list[Network]:
    """Return a method's networks, its encoders of losses apart."""
    return [network for network in method.children() if isinstance(network, Network)]


def find_recomputable(method: Method) -> list[Network]:
    """Return the networks that can compute their activations again."""
    return [network for network in list_networks(method) if network.recomputes is not None]


def find_obstacles(method: Method) -> Iterator[str]:
    """Say what of a method is no mean over images, so that pieces of a batch would not add up to it."""
    for term in method.whole_batch_terms:
        if any(terms.get(term) for terms in method.weights.by_player.values()):
            yield f"{type(method).__name__}'s {term} compares the images of a whole batch"
    for name, network in method.named_children():
        if not sees_images_alone(network):
            yield f"{name} has batch norm, whose statistics are of a whole batch"
        if any(isinstance(module, _SPECTRAL) for module in network.modules()):
            yield f"{name} has spectral norm, which takes a step for each piece"
    for part in _find_parts(method):
        if not getattr(part, "averages_images", True):
            yield f"{type(part).__name__} looks at whole batches, one at a time"


def _find_parts(root: object) -> Iterator[object]:
    """Yield every object that a method consists of, of ours and of those who say what they average."""
    waiting, seen = [root], set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif value is root or type(value).__module__.startswith("diptych.") or hasattr(value, "averages_images"):
            yield value
            waiting += getattr(value, "__dict__", {}).values()


@contextmanager
def explained_exhaustion(method: Method, batch_size: int) -> Iterator[None]:
    """Turn running out of memory into one line that names the options that help."""
    try:
        yield
    except Exception as error:
        if not is_exhaustion(error):
            raise
        raise MachineError(f"out of memory: {suggest_savings(method, batch_size)}") from error


def suggest_savings(method: Method, batch_size: int) -> str:
    """Name the options that take less memory and that this method can use."""
    options = []
    if any(network.recomputes is False for network in find_recomputable(method)):
        options.append("recompute=true")
    if batch_size > 1:
        options += [] if any(find_obstacles(method)) else [f"accumulate={batch_size}"]
        options.append(f"data.batch_size={batch_size // 2}")
    return ", ".join([*options, "a smaller data.crop_size", "generator.width"]) + " take less"


def find_capacity(device: torch.device) -> int | None:
    """Return the bytes of memory that a device has; None where that cannot be known."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return min([physical, *find_group_limits()])


def find_group_limits(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Return the bytes that a container or a batch system allows this process: a control group's and those above."""
    versions = {"memory": (root / "memory", "memory.limit_in_bytes"), "": (root, "memory.max")}
    limits = []
    with suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            _, kinds, name = line.split(":", 2)
            base, file = versions.get(kinds, (None, ""))
            for folder in _list_upwards(base, name) if base else ():
                with suppress(OSError, ValueError):  # no limit here: no such file, or it says "max"
                    limits.append(int((folder / file).read_text()))
    return limits


def _list_upwards(base: Path, name: str) -> list[Path]:
    place = base / name.lstrip("/")
    return [place, *(folder for folder in place.parents if folder.is_relative_to(base))]


def measure_peak(device: torch.device) -> int | None:
    """Return the most bytes that this process has held on a device so far; None where that cannot be known."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type != "cpu":
        return None
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
