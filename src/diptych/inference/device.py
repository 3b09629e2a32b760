"""Where a translator runs."""

import torch

from diptych.errors import MachineError


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
