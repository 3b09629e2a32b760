"""Networks that others have trained, by which images are compared: where their weights are, what is told of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.hub import download_url_to_file, get_dir

from diptych.errors import DataError, MachineError, name_reason
from diptych.files import hash_file
from diptych.networks.saved import read_state

T = TypeVar("T")
N = TypeVar("N", bound="Network")
_HASH = re.compile(r"-([0-9a-f]{8,64})\.\w+$")  # how torch.hub states the beginning of a SHA-256: in the file's name


def require(module: str) -> Any:
    """Return a module of a library that comes with the extra `metrics`; `MachineError` says how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MachineError(f"{error.name} is not installed: pip install 'diptych[metrics]'") from None


@dataclass(frozen=True)
class AtURL:
    """A file of weights that torch keeps in its cache."""

    url: str

    def find(self) -> Path:
        """Return the file, downloaded where it is not there yet; `MachineError` where that fails."""
        name = self.url.rpartition("/")[2]
        path = Path(get_dir(), "checkpoints", name)
        if not path.is_file():
            stated = _HASH.search(name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                download_url_to_file(self.url, str(path), hash_prefix=stated[1] if stated else None)
            except Exception as error:  # whatever the network brings
                known = f", whose SHA-256 begins with {stated[1]}" if stated else ""
                raise MachineError(
                    f"{path} is not there and cannot be downloaded from {self.url} ({name_reason(error)}); put that "
                    f"file{known}, there or name it by weights=FILE"
                ) from None
        return path


@dataclass(frozen=True)
class OnHub:
    """A file of weights that the Hugging Face hub's library keeps in its cache."""

    repository: str
    file: str = "model.safetensors"

    def find(self) -> Path:
        """Return the file, downloaded where it is not there yet; `MachineError` where that fails."""
        hub, file = require("huggingface_hub"), f"{self.file} of {self.repository}"
        kept = hub.try_to_load_from_cache(self.repository, self.file)
        if isinstance(kept, str):
            return Path(kept)
        try:
            return Path(hub.hf_hub_download(self.repository, self.file))
        except Exception as error:  # whatever the network brings
            raise MachineError(
                f"{file} is not in {hub.constants.HF_HUB_CACHE} and cannot be downloaded from "
                f"{hub.hf_hub_url(self.repository, self.file)} ({name_reason(error)}); name a copy by weights=FILE"
            ) from None


class Network:
    """A network with published weights, or with those of a file of the same names and shapes.

    Whatever the library would do with the file, it is the house's reader that reads it: nothing in it is executed.
    """

    name: ClassVar[str]
    library: ClassVar[str]
    resize: ClassVar[str]
    """How images come to the size that the network sees."""

    def __init__(self, published: AtURL | OnHub, weights: str | None) -> None:
        self.path = Path(weights) if weights else published.find()

    def describe(self) -> dict[str, str]:
        """Return what a number depends on beside the images."""
        return {
            "network": self.name,
            "library": f"{self.library} {version(self.library)}",
            "resize": self.resize,
            "weights": self.path.name,
            "sha256": self.sha256,
        }

    @cached_property
    def sha256(self) -> str:
        """The hash of the weights' file."""
        return hash_file(self.path)

    def fill(self, make: Callable[[dict[str, Tensor]], T]) -> T:
        """Return what `make` makes of the weights; `DataError` where they are not those of the network."""
        state = read_state(self.path)
        try:
            if not state:
                raise KeyError("nothing")
            with torch.random.fork_rng(devices=[]):  # libraries draw weights before they take these
                return make(state)
        except (KeyError, RuntimeError) as error:
            raise DataError(f"{self.path}: it has no weights of {self.name} ({name_reason(error)})") from None


@cache
def get_network(kind: Callable[..., N], *arguments: str | None) -> N:
    """Return a network, the same one for the same arguments, so that metrics share it and what it made of a batch."""
    return kind(*arguments)
