"""Where a translator runs."""

import torch

from diptych.errors import MachineError
from diptych.networks import Network
from diptych.training.allocation import keep_freed_memory


def choose_device(word: str = "auto") -> torch.device:
    """Return the device that a word names; `auto` takes CUDA, then Apple's MPS, then the CPU."""
    if word == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(word)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MachineError(f"--device {word}: not available here ({str(error).splitlines()[0]}); try cpu") from None
    return device


def settle(network: Network, device: torch.device) -> Network:
    """Bring a network to a device; on a CPU in the layout its convolutions are quicker in, and with memory at hand."""
    if device.type == "cpu":
        keep_freed_memory()
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)
