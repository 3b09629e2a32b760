"""How much memory a batch will take, said before the first one."""

import itertools
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from diptych.errors import name_reason
from diptych.methods.method import Method
from diptych.methods.player import Images
from diptych.methods.random_state import capture_random_state, restore_random_state
from diptych.methods.rendering import Rendering

_COPIES = 5  # of a weight: itself, its gradient, Adam's two moments, its average

WORTH_ASKING = 2**14
"""Pixels of a domain in a batch from which on a CPU's memory may run short; asking takes about a second."""


class MemoryEstimate(Callback):
    """Says on a GPU how much a batch will take, and anywhere when that is more than there is."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not (isinstance(pl_module, Method) and data.preparation.crops and trainer.is_global_zero):
            return
        side = data.preparation.crop_size
        if pl_module.device.type == "cpu" and data.batch_size * side**2 < WORTH_ASKING:
            return
        shapes = {domain: (data.batch_size, count, side, side) for domain, count in data.channels.items()}
        batch = {domain: torch.empty(shape, device="meta") for domain, shape in shapes.items()}
        try:
            with trainer.precision_plugin.train_step_context():
                needed = estimate_memory(pl_module, batch)
        except RuntimeError as error:  # a term that asks what a tensor holds
            print(f"memory: cannot be estimated for {type(pl_module).__name__} ({name_reason(error)})", flush=True)
            return
        free = _find_free(pl_module.device)
        said = f"memory: about {needed / 2**30:.1f} GiB for a batch of {data.batch_size} at {side}×{side}"
        if needed > free:
            less = "recompute=true, by_direction=true and accumulate=N take less"
            print(f"warning: {said}, and {free / 2**30:.1f} GiB are free; {less}", flush=True)
        elif pl_module.device.type == "cuda":
            print(f"{said}; {free / 2**30:.1f} GiB are free", flush=True)


def estimate_memory(method: Method, batch: Images) -> int:
    """Return about how many bytes training takes: the weights' share, the largest graph, and room for its backward.

    The batch is rendered with tensors that have shapes but no content; only its shapes matter.
    """
    random, remembered = capture_random_state(), {name: p.state_dict() for name, p in method.remembered().items()}
    weights = sum(p.numel() * p.element_size() for p in itertools.chain(method.parameters(), method.buffers()))
    most = 0
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            images = {name: torch.empty(value.shape, device=method.device) for name, value in batch.items()}
            for player in filter(method.trains_translators, method.players()):
                graph = _Graph()
                with torch.autograd.graph.saved_tensors_hooks(graph.keep, lambda tensor: tensor):
                    for _, rendered in Rendering(method, images, method.thrift).show(player):
                        terms = player.terms(rendered)
                        most = max(most, graph.bytes + 2 * graph.largest)
                        del terms, rendered
                        if not method.thrift.idle:
                            graph.clear()
    finally:
        restore_random_state(random)
        for name, part in method.remembered().items():
            part.load_state_dict(remembered[name])
    return _COPIES * weights + most


class _Graph:
    """Adds up what a graph keeps, each storage once, but for the weights."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._kept: dict[int, Tensor] = {}
        self.bytes = self.largest = 0

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._kept and not isinstance(tensor, torch.nn.Parameter):
            self._kept[storage._cdata] = tensor
            self.bytes += storage.nbytes()
            self.largest = max(self.largest, storage.nbytes())
        return tensor


def _find_free(device: torch.device) -> float:
    """Return the bytes that are free on a device; infinity where that cannot be known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), float("inf"))
