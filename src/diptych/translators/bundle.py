"""Loading a translator from a bundle, a checkpoint or another project's weights; nothing in a file is executed."""

from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from diptych.errors import FileError, UserError, name_reason
from diptych.networks import Network, make_network
from diptych.networks.saved import read_saved
from diptych.translators.foreign import recognise
from diptych.translators.header import Checkpoint, Described, Tensors, read_bundle, read_checkpoint
from diptych.translators.network_translator import HEADER, NetworkTranslator

_RENAMED = {"usual": "mean_code"}  # tensors by their names in format 1
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Weights(NamedTuple):
    """A network's tensors by name, and where the file says so what they are of."""

    tensors: Tensors
    described: Described | None = None


def load_translator(path: str | Path, direction: str | None = None) -> NetworkTranslator:
    """Load a bundle, a run folder's, a training checkpoint, or a state dict of the original CycleGAN or CUT code.

    `direction` (`ab` or `ba`) chooses where a checkpoint or a run holds both; raises `FileError` naming the file.
    """
    path = _find_bundle(Path(path), direction)
    _require_content(path)
    if path.suffix == ".safetensors":
        weights, notes = _read_bundle(path)
        if weights.described is None:
            raise FileError(f"{path}: not a translator: its header says nothing of a network")
        own = notes.get("direction")
        if direction and own and direction != own:
            raise FileError(f"{path}: this bundle translates {own}, not {direction}")
        return _assemble(path, weights.described, weights.tensors, notes)
    content = _read_content(path)
    if "diptych" in content:
        return _from_checkpoint(path, read_checkpoint(path, content), direction or "ab")
    return _from_original(path, content)


def read_weights(path: Path, role: str, name: str) -> Weights:
    """Return a file's weights for the `generator` of a direction, or for the `discriminator` of a domain.

    A checkpoint holds several networks; a bundle, bare safetensors and a plain state dict hold one, whatever it is for.
    """
    _require_content(path)
    if path.suffix == ".safetensors":
        return _read_bundle(path)[0]
    content = _read_content(path)
    if "diptych" not in content:
        return _read_plain(path, content)
    checkpoint = read_checkpoint(path, content)
    if role == "generator":
        return _select_direction(path, checkpoint, name)[0]
    return Weights(_select_network(path, checkpoint.state_dict, f"{role}_{name}"))


def _find_bundle(path: Path, direction: str | None) -> Path:
    """Return the file that is meant by a run folder, which is a finished run's bundle; any other path as it is."""
    if not path.is_dir():
        return path
    bundle = path / "translators" / f"{direction or 'ab'}.safetensors"
    if bundle.is_file():
        return bundle
    others = sorted(bundle.parent.glob("*.safetensors")) or sorted((path / "checkpoints").glob("*.ckpt"))
    hint = ", ".join(str(other.relative_to(path)) for other in others) or "no translator"
    raise FileError(f"{path}: a folder without {bundle.relative_to(path)}, not a translator's file; in it: {hint}")


def _require_content(path: Path) -> None:
    if not path.is_file():
        raise FileError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
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


def _read_bundle(path: Path) -> tuple[Weights, dict[str, Any]]:
    """Return what a safetensors file holds, and the notes where it is a bundle."""
    text = _read_header(path)
    bundle = None if text is None else read_bundle(path, text)
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors and torch have several words for numbers of a kind that they do not know
        raise FileError(f"{path}: its tensors cannot be read ({name_reason(error)})") from None
    return Weights(rename_tensors(tensors), bundle), bundle.notes.describe() if bundle else {}


def rename_tensors(tensors: Tensors) -> Tensors:
    """Return tensors of any readable format under the names of today's networks."""
    renamed = {}
    for name, tensor in tensors.items():
        owner, dot, last = name.rpartition(".")
        renamed[f"{owner}{dot}{_RENAMED.get(last, last)}"] = tensor
    return renamed


def _read_content(path: Path) -> dict[Any, Any]:
    try:
        content = read_saved(path)
    except ValueError as error:
        kinds = "neither a bundle, nor a checkpoint, nor plain tensors"
        raise FileError(f"{path}: not a translator: {kinds} ({error})") from None
    if not isinstance(content, dict):
        raise FileError(f"{path}: not a translator: it holds a {type(content).__name__}, not weights by name")
    return content


def _from_checkpoint(path: Path, checkpoint: Checkpoint, direction: str) -> NetworkTranslator:
    """Take one direction's network, averaged where the checkpoint holds an average."""
    (tensors, described), which = _select_direction(path, checkpoint, direction)
    assert described is not None
    notes = checkpoint.diptych.notes.get(direction)
    return _assemble(path, described, tensors, {**(notes.describe() if notes else {}), "weights": which})


def _select_direction(path: Path, checkpoint: Checkpoint, direction: str) -> tuple[Weights, str]:
    """Return one direction's weights, and whether these are `averaged` or the `last` ones."""
    directions = checkpoint.diptych.translators
    if direction not in directions:
        raise FileError(f"{path}: holds no direction {direction!r}, only {', '.join(directions)}")
    described = directions[direction]
    if averaged := checkpoint.callbacks.ema.averaged.get(direction):
        return Weights(rename_tensors(averaged), described), "averaged"
    return Weights(rename_tensors(_strip(checkpoint.state_dict, described.prefix)), described), "last"


def _select_network(path: Path, state: Tensors, network: str) -> Tensors:
    """Return the tensors of a method's network by its name there, such as `discriminator_b`."""
    if tensors := _strip(state, f"{network}."):
        return rename_tensors(tensors)
    held = sorted({name.partition(".")[0] for name in state})
    raise FileError(f"{path}: holds no {network}, only {', '.join(held)}")


def _strip(state: Tensors, prefix: str) -> Tensors:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _read_plain(path: Path, content: dict[Any, Any]) -> Weights:
    """Return a state dict's tensors: of the original code's networks without what never was of use there."""
    try:
        name, arguments, tensors, _ = recognise(content)
        return Weights(tensors, Described(network=name, arguments=arguments))
    except ValueError:
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return Weights({str(key): tensor for key, tensor in content.items()})
    raise FileError(f"{path}: neither a bundle, nor a checkpoint, nor plain tensors by name")


def _from_original(path: Path, content: dict[Any, Any]) -> NetworkTranslator:
    try:
        name, arguments, tensors, words = recognise(content)
    except ValueError as error:
        raise FileError(f"{path}: not a translator: {error}") from None
    return _assemble(path, Described(network=name, arguments=arguments), tensors, {"recognised": words})


def _assemble(path: Path, described: Described, tensors: Tensors, notes: dict[str, Any]) -> NetworkTranslator:
    """Build the described network and load the tensors strictly, with nothing allocated before all are seen to fit."""
    with torch.device("meta"):
        outline = _build(path, described)
    if not outline.translates:
        raise FileError(f"{path}: not a translator: a {described.network} judges images, it makes none")
    expected = outline.state_dict()
    for kind, keys in (("lacks", expected.keys() - tensors.keys()), ("has an extra", tensors.keys() - expected.keys())):
        if keys:
            what = f"{described.network} {described.arguments}"
            raise FileError(f"{path}: {kind} tensor {min(keys)!r} ({len(keys)} in all) for {what}")
    for key, tensor in expected.items():
        if misfit := find_misfit(tensors[key], tensor):
            raise FileError(f"{path}: tensor {key!r} {misfit}")
        refuse_spoilt(path, key, tensors[key].to(tensor.dtype))
    network = _build(path, described)  # anew: what is no state, such as constants, must be real
    network.load_state_dict(tensors, strict=True)
    translator = NetworkTranslator(network.eval().requires_grad_(False), notes)
    try:
        _ = translator.input, translator.output
    except UserError as error:
        raise FileError(f"{path}: its notes do not say what files hold ({error})") from None
    return translator


def _build(path: Path, described: Described) -> Network:
    try:
        return make_network(described.network, described.arguments)
    except UserError as error:
        raise FileError(f"{path}: {error}") from None
    except Exception as error:  # whatever somebody else's network says to arguments that it did not expect
        raise FileError(f"{path}: no {described.network} can be built ({name_reason(error)})") from None


def find_misfit(found: Tensor, expected: Tensor) -> str | None:
    """Say in which way a tensor does not fit into another's place; None where it does."""
    if found.shape != expected.shape:
        return f"has shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
    kinds = (_FLOATS, _INTEGERS, (found.dtype,))
    if expected.dtype not in next(kind for kind in kinds if found.dtype in kind):
        return f"holds {found.dtype} instead of {expected.dtype}"
    return None


def refuse_spoilt(path: Path, key: str, tensor: Tensor) -> None:
    """Raise `FileError` where a tensor holds numbers that are none."""
    if not bool(tensor.isfinite().all()):
        raise FileError(f"{path}: tensor {key!r} holds NaN or infinity: the weights are spoilt")
