"""Nonsense for every key of the recipes: one line that names the key, or a value that means something."""

import copy
from collections.abc import Iterator
from typing import Any

import hydra
import train
from omegaconf import OmegaConf

NONSENSE: dict[str, Any] = {
    "null": None,
    "a word": "nonsense",
    "nothing": "",
    "true": True,
    "zero": 0,
    "negative": -1,
    "half": 0.5,
    "huge": 10**30,
    "large": 123_456_789,
    "1e39": 1e39,
    "nan": float("nan"),
    "infinite": float("inf"),
    "an empty list": [],
    "a list": [2, 2],
    "words": ["a", "b", "c"],
    "an empty mapping": {},
    "a mapping": {"x": 3},
    "a part": {"_target_": "torch.optim.Adam", "_partial_": True},
    "a control": "\x1b[2J\n",
}


def compose(*overrides: str) -> dict[str, Any]:
    """Return a composed recipe as plain data."""
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        plain = OmegaConf.to_container(hydra.compose("train", list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return plain


def list_places(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key, those that hold others included."""
    for key, value in node.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from list_places(value, (*path, key))


def put(recipe: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a copy with another value at a path."""
    changed = copy.deepcopy(recipe)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed
