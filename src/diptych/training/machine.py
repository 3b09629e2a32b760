"""What this machine offers: the arithmetic it is quick in, and whether W&B can be reached by key."""

import netrc
import os
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import torch
from pytorch_lightning.loggers import Logger

from diptych.arguments import Part
from diptych.errors import MachineError, UserError, name_reason
from diptych.files import write_text
from diptych.terminal import say

_PATIENCE = 3.0  # seconds to wait for a logging service
_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def choose_precision(word: str) -> str:
    """Return Lightning's word for `fp32`, `bf16`, or `auto`: bf16 where the hardware computes in it."""
    if word == "auto":
        word = "bf16" if _computes_bf16() else "fp32"
    if not isinstance(word, str) or word not in _PRECISIONS:
        raise UserError(f"precision = {word!r} is not one of auto, {', '.join(_PRECISIONS)}")
    return _PRECISIONS[word]


def require_devices(devices: int | str | list[int], accelerator: str) -> None:
    """Raise `UserError` where more processes are asked for than there are cores or GPUs to compute in."""
    on_gpu = _is_on_gpu(accelerator)
    available = torch.cuda.device_count() if on_gpu else len(os.sched_getaffinity(0))
    wanted = count_devices(devices, accelerator)
    if accelerator in ("auto", "cpu", "gpu", "cuda") and wanted > max(1, available):
        raise UserError(f"trainer.devices = {wanted}: there are {available} {'GPUs' if on_gpu else 'CPU cores'} here")


def count_devices(devices: int | str | list[int], accelerator: str) -> int:
    """Return how many devices are meant by Lightning's word for them: `2`, `[0, 1]`, `"0,1"`, `-1` or `"auto"`."""
    listed = devices if isinstance(devices, list) else [one for one in str(devices).split(",") if one.strip()]
    if len(listed) != 1 or isinstance(devices, list):
        return len(listed)
    if str(devices) in ("auto", "-1"):
        return max(1, torch.cuda.device_count()) if _is_on_gpu(accelerator) else 1
    return int(str(devices)) if str(devices).isdecimal() else 1


def _is_on_gpu(accelerator: str) -> bool:
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def _computes_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def choose_layout(word: bool | str, accelerator: str) -> bool:
    """Return whether to train with channels last: what is said, or with `auto` where it was measured to be quicker."""
    if word not in (True, False, "auto"):
        raise UserError(f"channels_last = {word!r} is not one of auto, true, false")
    return bool(word) if word != "auto" else accelerator == "cpu" or not torch.cuda.is_available()


def require_compiler() -> None:
    """Raise `MachineError` where networks cannot be compiled, rather than minutes later."""
    if not torch.cuda.is_available() and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise MachineError("compile=true needs a C++ compiler, and g++ is not found; install it, name another in CXX")


def is_wandb_offline() -> bool:
    """Whether a W&B run should only be recorded here: the mode says so, no key is configured, or nobody answers.

    Decided before the run starts, because a failed online start makes a later offline one fail too.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode:
        return mode != "online"
    server = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    return not (_has_wandb_key(server.hostname or "") and _answers(server))


def _has_wandb_key(host: str) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _answers(server: SplitResult) -> bool:
    port = server.port or (443 if server.scheme == "https" else 80)
    try:
        with socket.create_connection((server.hostname, port), timeout=_PATIENCE):
            return True
    except OSError:
        return False


def keep_wandb_id(loggers: Mapping[str, Part[Logger]], run_dir: Path) -> dict[str, Part[Logger]]:
    """Return the loggers; one whose id is `auto` gets that of the run folder, the same whenever training goes on."""
    return {
        name: replace(part, arguments={**part.arguments, "id": find_wandb_id(run_dir / "wandb_run_id")})
        if part.arguments.get("id") == "auto"
        else part
        for name, part in loggers.items()
    }


def find_wandb_id(path: Path) -> str:
    """Return the id that a run folder's file holds, which is made where there is none."""
    if path.is_file() and re.fullmatch(r"[\w-]{1,64}", name := path.read_text(errors="replace").strip()):
        return name
    write_text(path, f"{(name := uuid.uuid4().hex[:8])}\n")
    return name


def start_loggers(loggers: list[Logger], recipe: dict[str, Any]) -> list[Logger]:
    """Hand each logger the recipe; one that cannot start is left out with a line: training does without."""
    started = []
    for logger in loggers:
        try:
            logger.log_hyperparams(recipe)
            started.append(logger)
        except Exception as error:  # whatever a service's client raises
            said = f"{type(logger).__name__} does not start ({name_reason(error)})"
            say(f"warning: {said}; metrics.csv is written all the same")
    return started
