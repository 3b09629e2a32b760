"""Seeds that are functions of numbers, and the state of every random generator of a process."""

import random
from typing import Any

import numpy as np
import torch


def mix(*numbers: int) -> int:
    """Return a seed that depends on all the numbers and on nothing else."""
    state = np.random.SeedSequence([number & 0xFFFFFFFF for number in numbers]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def seed_generator(*numbers: int) -> torch.Generator:
    """Return a random generator whose state depends on all the numbers and on nothing else."""
    return torch.Generator().manual_seed(mix(*numbers))


def capture_random_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's, torch's and each CUDA device's generators."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": list(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every generator back to a captured state; generators of absent devices are passed over."""
    _set_states(state, random, np.random, torch.default_generator)
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


def try_random_state(state: dict[str, Any]) -> None:
    """Raise whatever putting the generators back to this state would raise; they stay as they are."""
    _set_states(state, random.Random(), np.random.RandomState(), torch.Generator())
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        for one in state["cuda"]:
            torch.Generator("cuda").set_state(one.cpu())


def _set_states(state: dict[str, Any], for_python: Any, for_numpy: Any, for_torch: torch.Generator) -> None:
    python, numpy = state["python"], state["numpy"]
    for_python.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    for_numpy.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    for_torch.set_state(state["torch"].cpu())
