"""What a batch leaves behind besides what is learnt by descent, kept so that it can be undone."""

import torch
from torch import Tensor

from diptych.methods import Method


class Snapshot:
    """A method's buffers (running statistics, spectral norms, mean codes) and extra state (pools, running means)."""

    def __init__(self, method: Method) -> None:
        self._buffers: list[Tensor] = [buffer.clone() for buffer in method.buffers()]
        self._parts = {name: part.state_dict() for name, part in method.extra_state().items()}

    @torch.no_grad()
    def restore(self, method: Method) -> None:
        """Put all of it back as it was."""
        for buffer, before in zip(method.buffers(), self._buffers, strict=True):
            buffer.copy_(before)
        for name, part in method.extra_state().items():
            part.load_state_dict(self._parts[name])
