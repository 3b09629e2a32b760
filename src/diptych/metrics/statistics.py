"""What networks see in real images, kept from one evaluation to the next: it depends on nothing that is judged."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.errors import MachineError
from diptych.files import find_cache, write_whole


def recall_rows(about: Mapping[str, object]) -> Tensor | None:
    """Return a metric's rows of real images from the cache; None where there are none, or damaged ones.

    `about` says all that they depend on: images, how they were prepared, metric, network.
    """
    words = _spell(about)
    try:
        with safe_open(_find(words), "pt") as file:
            told, rows = file.metadata() or {}, file.get_tensor("rows")
    except (OSError, SafetensorError):
        return None
    return rows if (told.get("about"), told.get("sha256")) == (words, _hash(rows)) else None


def keep_rows(about: Mapping[str, object], rows: Tensor) -> None:
    """Keep rows if that can be done; without a cache an evaluation only takes longer."""
    words, whole = _spell(about), rows.contiguous()
    with suppress(MachineError), write_whole(_find(words)) as temporary:
        save_file({"rows": whole}, temporary, metadata={"about": words, "sha256": _hash(whole)})


def hash_files(paths: Sequence[Path]) -> str:
    """Return a hash of files' contents in their order, by which a set of images is known wherever it lies."""
    whole = sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                whole.update(piece)
    return whole.hexdigest()


def _spell(about: Mapping[str, object]) -> str:
    return json.dumps(about, sort_keys=True)


def _find(words: str) -> Path:
    return find_cache() / "statistics" / f"{sha256(words.encode()).hexdigest()[:32]}.safetensors"


def _hash(rows: Tensor) -> str:
    return sha256(rows.numpy().tobytes()).hexdigest()
