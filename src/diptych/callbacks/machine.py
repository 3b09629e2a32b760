"""What this machine offers: the arithmetic it is quick in, and whether W&B can be reached by key."""

import netrc
import os

import torch

from diptych.errors import UserError

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def choose_precision(word: str) -> str:
    """Return Lightning's word for `fp32`, `bf16`, or `auto`: bf16 where the hardware computes in it."""
    if word == "auto":
        word = "bf16" if _computes_bf16() else "fp32"
    if word not in _PRECISIONS:
        raise UserError(f"precision = {word!r} is not one of auto, {', '.join(_PRECISIONS)}")
    return _PRECISIONS[word]


def _computes_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def is_wandb_offline() -> bool:
    """Whether a W&B run should only be recorded here: no key is configured, or the mode says so.

    Decided before the run starts, because a failed online start makes a later offline one fail too.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode:
        return mode != "online"
    if os.environ.get("WANDB_API_KEY"):
        return False
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is None
    except (OSError, netrc.NetrcParseError):
        return True
