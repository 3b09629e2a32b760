"""Loading a translator from a bundle, a checkpoint or another project's weights; nothing in a file is executed."""

import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from diptych.errors import FileError, UserError
from diptych.networks import build
from diptych.translators.foreign import recognise
from diptych.translators.network_translator import FORMAT, HEADER, NetworkTranslator

CHECKPOINT_FORMAT = 2
READABLE = (1, 2)
"""Formats of bundles and of checkpoints that this version reads."""
_RENAMED = {"usual": "mean_code"}  # tensors by their names in format 1


def load_translator(path: str | Path, direction: str | None = None) -> NetworkTranslator:
    """Load a bundle, a training checkpoint, or a state dict of the original CycleGAN or CUT code.

    `direction` (`ab` or `ba`) chooses where a checkpoint holds both; raises `FileError` naming the file.
    """
    path = Path(path)
    _require_content(path)
    if path.suffix == ".safetensors":
        translator = _load_bundle(path)
        own = translator.notes.get("direction")
        if direction and own and direction != own:
            raise FileError(f"{path}: this bundle translates {own}, not {direction}")
        return translator
    content = _load_tensors(path)
    if "diptych" in content:
        return _from_checkpoint(path, content, direction or "ab")
    return _from_original(path, content)


def read_weights(path: Path, role: str, name: str) -> dict[str, Tensor]:
    """Return a file's tensors for the `generator` of a direction, or for the `discriminator` of a domain.

    A checkpoint holds several networks; a bundle, bare safetensors and a plain state dict hold one, whatever it is for.
    """
    _require_content(path)
    if path.suffix == ".safetensors":
        _read_header(path)  # refuses a file that is not whole
        return rename_tensors(load_file(path))
    content = _load_tensors(path)
    if "diptych" not in content:
        return _read_plain(path, content)
    if role == "generator":
        return _select_direction(path, content, name)[1]
    _check_version(path, content["diptych"])
    return _select_network(path, content["state_dict"], f"{role}_{name}")


def _require_content(path: Path) -> None:
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise FileError(f"{path}: the file is empty")


def holds_network(path: Path) -> bool:
    """Whether a safetensors file is a bundle, rather than bare weights."""
    return _read_header(path) is not None


def _read_header(path: Path) -> str | None:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(HEADER)
    except (OSError, safetensors.SafetensorError) as error:
        raise FileError(f"{path}: not a whole safetensors file ({error})") from None


def _load_bundle(path: Path) -> NetworkTranslator:
    text = _read_header(path)
    if text is None:
        raise FileError(f"{path}: not a translator: its header says nothing of a network")
    try:
        header = json.loads(text)
        version, notes = header["format"], dict(header["notes"])
        network, arguments = header["network"], dict(header["arguments"])
    except (ValueError, KeyError, TypeError, RecursionError):  # the last for brackets without end
        raise FileError(f"{path}: not a translator: its header is damaged") from None
    if version not in READABLE:
        raise FileError(f"{path}: bundle format {version}, this version reads up to {FORMAT}: upgrade diptych")
    return _assemble(path, network, arguments, rename_tensors(load_file(path)), notes)


def rename_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of any readable format under the names of today's networks."""
    renamed = {}
    for name, tensor in tensors.items():
        owner, dot, last = name.rpartition(".")
        renamed[f"{owner}{dot}{_RENAMED.get(last, last)}"] = tensor
    return renamed


def _load_tensors(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen kinds for files that are not its own
        raise FileError(f"{path}: not a translator: neither a bundle, nor a checkpoint, nor plain tensors") from None
    if not isinstance(content, dict):
        raise FileError(f"{path}: not a translator: it holds a {type(content).__name__}, not weights by name")
    return content


def _check_version(path: Path, header: Any) -> None:
    if not isinstance(header, dict) or not isinstance(header.get("translators"), dict):
        raise FileError(f"{path}: not a translator: its header is damaged")
    if header.get("format") not in READABLE:
        version = f"checkpoint format {header.get('format')}, this version reads up to {CHECKPOINT_FORMAT}"
        raise FileError(f"{path}: {version}: upgrade diptych")


def _from_checkpoint(path: Path, content: dict[str, Any], direction: str) -> NetworkTranslator:
    """Take one direction's network, averaged where the checkpoint holds an average."""
    entry, tensors, weights = _select_direction(path, content, direction)
    notes = {**content["diptych"].get("notes", {}).get(direction, {}), "weights": weights}
    return _assemble(path, entry["network"], entry["arguments"], tensors, notes)


def _select_direction(
    path: Path, content: dict[str, Any], direction: str
) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Return one direction's description and tensors, and whether these are `averaged` or the `last` ones."""
    _check_version(path, content["diptych"])
    described = content["diptych"]["translators"]
    if direction not in described:
        raise FileError(f"{path}: holds no direction {direction!r}, only {', '.join(described)}")
    entry = described[direction]
    if averaged := content.get("callbacks", {}).get("EMA", {}).get("averaged", {}).get(direction):
        return entry, rename_tensors(averaged), "averaged"
    return entry, rename_tensors(_strip(content["state_dict"], entry["prefix"])), "last"


def _select_network(path: Path, state: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    """Return the tensors of a method's network by its name there, such as `discriminator_b`."""
    if tensors := _strip(state, f"{network}."):
        return rename_tensors(tensors)
    held = sorted({name.partition(".")[0] for name in state})
    raise FileError(f"{path}: holds no {network}, only {', '.join(held)}")


def _strip(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _read_plain(path: Path, content: dict[str, Any]) -> dict[str, Tensor]:
    """Return a state dict's tensors: of the original code's networks without what never was of use there."""
    try:
        return recognise(content)[2]
    except (ValueError, LookupError):
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return content
    raise FileError(f"{path}: neither a bundle, nor a checkpoint, nor plain tensors by name")


def _from_original(path: Path, content: dict[str, Any]) -> NetworkTranslator:
    try:
        network, arguments, tensors, words = recognise(content)
    except ValueError as error:
        raise FileError(f"{path}: not a translator: {error}") from None
    return _assemble(path, network, arguments, tensors, {"recognised": words})


def _assemble(
    path: Path, name: str, arguments: dict[str, Any], tensors: dict[str, Tensor], notes: Any
) -> NetworkTranslator:
    """Build the named network and load the tensors strictly."""
    try:
        network = build(name, **arguments)
    except UserError as error:
        raise FileError(f"{path}: {error}") from None
    if not network.translates:
        raise FileError(f"{path}: not a translator: a {name} judges images, it makes none")
    expected = network.state_dict()
    for kind, keys in (("lacks", expected.keys() - tensors.keys()), ("has an extra", tensors.keys() - expected.keys())):
        if keys:
            raise FileError(f"{path}: {kind} tensor {min(keys)!r} ({len(keys)} in all) for {name} {arguments}")
    for key, tensor in expected.items():
        _check_tensor(path, key, tensors[key], tensor)
    network.load_state_dict(tensors, strict=True)
    translator = NetworkTranslator(network.eval().requires_grad_(False), notes)
    try:
        _ = translator.input, translator.output
    except (UserError, TypeError, ValueError) as error:
        raise FileError(f"{path}: its notes do not say what files hold ({error})") from None
    return translator


def _check_tensor(path: Path, key: str, found: Tensor, expected: Tensor) -> None:
    """Refuse a tensor of another shape or kind of number, or with numbers that are none."""
    if misfit := find_misfit(found, expected):
        raise FileError(f"{path}: tensor {key!r} {misfit}")
    refuse_spoilt(path, key, found)


def find_misfit(found: Tensor, expected: Tensor) -> str | None:
    """Say in which way a tensor does not fit into another's place; None where it does."""
    if found.shape != expected.shape:
        return f"has shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
    if found.is_floating_point() != expected.is_floating_point():
        return f"holds {found.dtype} instead of {expected.dtype}"
    return None


def refuse_spoilt(path: Path, key: str, tensor: Tensor) -> None:
    """Raise `FileError` where a tensor holds numbers that are none."""
    if not bool(tensor.isfinite().all()):
        raise FileError(f"{path}: tensor {key!r} holds NaN or infinity: the weights are spoilt")
