"""The bundle that users load: a network's weights and a JSON header, nothing executable."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diptych.errors import FileError, MachineError, UserError
from diptych.images import Form
from diptych.networks import Encoder, FeatureNetwork, Network, NetworkEncoder, StyleNetwork, Vgg, build
from diptych.networks.original import recognise

FORMAT = 1
CHECKPOINT_FORMAT = 1
_HEADER = "diptych"


@dataclass(frozen=True)
class Translator:
    """A trained network and what is known about it; called on N×C×H×W images in [-1, 1].

    Where the network takes a style, that of a second batch of images may be given.
    """

    network: Network
    notes: dict[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def __call__(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Return the translated images, of the same height and width, in [-1, 1]."""
        channels = self.network.arguments.get("in_channels", 3)
        if content.ndim != 4 or content.shape[1] != channels:
            raise ValueError(f"expected N×{channels}×H×W images, got a tensor of shape {tuple(content.shape)}")
        parameter = next(self.network.parameters())
        images = [image.to(parameter.device, parameter.dtype) for image in (content, style) if image is not None]
        if style is None:
            translated: Tensor = self.network(images[0])
        elif isinstance(self.network, StyleNetwork):
            translated = self.network(images[0], self.network.describe_style(images[1])).clamp(-1, 1)
        else:
            raise UserError(f"{self.title}: this translator takes no style; those of adain, wct, fusion, dumoulin do")
        return translated.to(content.dtype)

    @property
    def title(self) -> str:
        """What is turned into what, in the recipe's words: `flat → fluent`."""
        return f"{self.notes.get('from', 'A')} → {self.notes.get('to', 'B')}"

    @property
    def input(self) -> Form:
        """What the files hold that it translates."""
        return self._find_form("input", "in_channels")

    @property
    def output(self) -> Form:
        """What the files hold that it makes."""
        return self._find_form("output", "out_channels")

    def _find_form(self, note: str, argument: str) -> Form:
        channels = self.network.arguments.get(argument, 3)
        form = Form.from_words({"channels": channels, **self.notes.get(note, {})})
        if form.channels != channels:
            raise UserError(f"{note}.channels = {form.channels}, but the network has {argument} = {channels}")
        return form

    def save(self, path: Path) -> None:
        """Write the bundle, whole or not at all."""
        header = {"format": FORMAT, **self.network.describe(), "notes": self.notes}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, temporary, metadata={_HEADER: json.dumps(header, ensure_ascii=False)})
            temporary.replace(path)
        except (OSError, safetensors.SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise MachineError(f"{path}: the bundle cannot be written ({error})") from None


def load_translator(path: str | Path, direction: str | None = None) -> Translator:
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


class TranslatorEncoder(NetworkEncoder):
    """The layers of a trained translator's network, from its file."""

    def __init__(self, path: str | Path, direction: str | None = None) -> None:
        network = load_translator(path, direction).network
        if not isinstance(network, FeatureNetwork):
            raise UserError(f"{path}: a {type(network).__name__} has no features to look with; a ResnetGenerator has")
        super().__init__(network)


def load_encoder(weights: str = "imagenet", **settings: Any) -> Encoder:
    """Return what losses look with: a VGG by the words of `Vgg`, to which `settings` go, or a translator's layers."""
    path = Path(weights)
    if path.suffix == ".ckpt" or (path.suffix == ".safetensors" and path.is_file() and _read_header(path)):
        return TranslatorEncoder(path)
    return Vgg(weights=weights, **settings)


def _read_header(path: Path) -> str | None:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(_HEADER)
    except (OSError, safetensors.SafetensorError) as error:
        raise FileError(f"{path}: not a whole safetensors file ({error})") from None


def _load_bundle(path: Path) -> Translator:
    text = _read_header(path)
    if text is None:
        raise FileError(f"{path}: not a translator: its header says nothing of a network")
    try:
        header = json.loads(text)
        version, notes = header["format"], dict(header["notes"])
        network, arguments = header["network"], dict(header["arguments"])
    except (ValueError, KeyError, TypeError):
        raise FileError(f"{path}: not a translator: its header is damaged") from None
    if version != FORMAT:
        raise FileError(f"{path}: bundle format {version}, this version reads {FORMAT}: upgrade diptych")
    return _assemble(path, network, arguments, load_file(path), notes)


def _load_tensors(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen kinds for files that are not its own
        raise FileError(f"{path}: not a translator: neither a bundle, nor a checkpoint, nor plain tensors") from None
    if not isinstance(content, dict):
        raise FileError(f"{path}: not a translator: it holds a {type(content).__name__}, not weights by name")
    return content


def _from_checkpoint(path: Path, content: dict[str, Any], direction: str) -> Translator:
    """Take one direction's network, averaged where the checkpoint holds an average."""
    header = content["diptych"]
    if not isinstance(header, dict) or not isinstance(described := header.get("translators"), dict):
        raise FileError(f"{path}: not a translator: its header is damaged")
    if header.get("format") != CHECKPOINT_FORMAT:
        version = f"checkpoint format {header.get('format')}, this version reads {CHECKPOINT_FORMAT}"
        raise FileError(f"{path}: {version}: upgrade diptych")
    if direction not in described:
        raise FileError(f"{path}: holds no direction {direction!r}, only {', '.join(described)}")
    entry = described[direction]
    averaged = content.get("callbacks", {}).get("EMA", {}).get("averaged", {}).get(direction)
    prefix = entry["prefix"]
    live = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    notes = {**content["diptych"].get("notes", {}).get(direction, {}), "weights": "averaged" if averaged else "last"}
    return _assemble(path, entry["network"], entry["arguments"], averaged or live, notes)


def _from_original(path: Path, content: dict[str, Any]) -> Translator:
    try:
        network, arguments, tensors, words = recognise(content)
    except ValueError as error:
        raise FileError(f"{path}: not a translator: {error}") from None
    return _assemble(path, network, arguments, tensors, {"recognised": words})


def _assemble(path: Path, name: str, arguments: dict[str, Any], tensors: dict[str, Tensor], notes: Any) -> Translator:
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
    translator = Translator(network.eval().requires_grad_(False), notes)
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
