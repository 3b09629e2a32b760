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
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise FileError(f"{path}: the file is empty")
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
    except (ValueError, KeyError, TypeError):
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


def _from_checkpoint(path: Path, content: dict[str, Any], direction: str) -> NetworkTranslator:
    """Take one direction's network, averaged where the checkpoint holds an average."""
    header = content["diptych"]
    if not isinstance(header, dict) or not isinstance(described := header.get("translators"), dict):
        raise FileError(f"{path}: not a translator: its header is damaged")
    if header.get("format") not in READABLE:
        version = f"checkpoint format {header.get('format')}, this version reads up to {CHECKPOINT_FORMAT}"
        raise FileError(f"{path}: {version}: upgrade diptych")
    if direction not in described:
        raise FileError(f"{path}: holds no direction {direction!r}, only {', '.join(described)}")
    entry = described[direction]
    averaged = content.get("callbacks", {}).get("EMA", {}).get("averaged", {}).get(direction)
    prefix = entry["prefix"]
    live = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    notes = {**content["diptych"].get("notes", {}).get(direction, {}), "weights": "averaged" if averaged else "last"}
    return _assemble(path, entry["network"], entry["arguments"], rename_tensors(averaged or live), notes)


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
    if found.shape != expected.shape:
        raise FileError(f"{path}: tensor {key!r} has shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
    if found.is_floating_point() != expected.is_floating_point():
        raise FileError(f"{path}: tensor {key!r} holds {found.dtype} instead of {expected.dtype}")
    if not bool(found.isfinite().all()):
        raise FileError(f"{path}: tensor {key!r} holds NaN or infinity: the weights are spoilt")
