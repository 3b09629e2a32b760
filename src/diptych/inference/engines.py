"""Engines: the same network run by torch, compiled by it, or exported to ONNX Runtime or OpenVINO.

Whatever runs it must agree with torch on a test image before it is used.
"""

import copy
import hashlib
import importlib.util
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor
from torch.export import Dim

from diptych.errors import MachineError, UserError, name_reason
from diptych.files import find_cache
from diptych.inference.device import settle
from diptych.networks.layers import pad_to_multiple
from diptych.translators import Translator

ENGINES = ("auto", "torch", "compile", "onnx", "openvino")
PRECISIONS = ("fp32", "bf16")
WORTH_EXPORTING = 64
"""Images from which on `auto` exports: before, torch would be ready sooner."""
_TRIAL = 256  # pixels a side of the image that `auto` times engines with
_TOLERANCES = {"fp32": 2e-3, "bf16": 0.25}  # of outputs in [-1, 1], at the worst pixel
_OPSET = 20
_PACKAGES = {"export": ("onnxscript",), "onnx": ("onnxruntime", "onnxscript"), "openvino": ("openvino", "onnxscript")}


@dataclass(frozen=True)
class Engine:
    """A way of running a translator: `run` maps N×C×H×W images in [-1, 1] to their translations."""

    name: str
    run: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        return self.run(images)


def choose_engine(translator: Translator, word: str = "auto", precision: str = "fp32", images: int = 1) -> Engine:
    """Return the engine that a word names; `auto` takes the fastest that is installed and agrees with torch.

    `UserError` for an unknown word, `MachineError` where the engine is not installed or does not agree.
    """
    if word not in ENGINES:
        raise UserError(f"--engine {word} is not one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision} is not one of {', '.join(PRECISIONS)}")
    if word != "auto":
        return _start(translator, word, precision)
    started = [_start(translator, "torch", precision)]
    on_cpu = next(translator.network.parameters()).device.type == "cpu"
    for candidate in ("openvino", "onnx") if on_cpu and images >= WORTH_EXPORTING else ():
        if is_installed(candidate) and (candidate != "onnx" or precision == "fp32"):
            with suppress(MachineError):
                started.append(_start(translator, candidate, precision))
    return started[0] if len(started) == 1 else min(started, key=partial(_time, translator.input.channels))


def _time(channels: int, engine: Engine) -> float:
    """Return the seconds that an image takes."""
    image, seconds = torch.zeros(1, channels, _TRIAL, _TRIAL), []
    for _ in range(3):
        start = time.perf_counter()
        engine(image)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def is_installed(engine: str) -> bool:
    """Whether what an engine needs can be imported."""
    return all(importlib.util.find_spec(package) is not None for package in _PACKAGES.get(engine, ()))


def _start(translator: Translator, word: str, precision: str) -> Engine:
    if not is_installed(word):
        raise MachineError(f"--engine {word} needs more packages: pip install 'diptych[engines]'")
    if word == "onnx" and precision != "fp32":
        raise UserError(f"--engine onnx computes in fp32, not in {precision}; --engine openvino does")
    try:
        engine = Engine(f"{word}, {precision}", _MAKERS[word](translator, precision))
        _check(translator, engine, precision)
    except (MachineError, UserError):
        raise
    except Exception as error:  # exporters and runtimes raise what they like
        reason = name_reason(error)[:200]
        raise MachineError(f"--engine {word}: cannot run this network here ({reason}); try --engine torch") from None
    return engine


def _check(translator: Translator, engine: Engine, precision: str) -> None:
    """Compare with torch in fp32 on a smooth random image of an odd size."""
    random = torch.Generator().manual_seed(0)
    channels = translator.input.channels
    image = torch.nn.functional.interpolate(torch.rand(1, channels, 9, 11, generator=random) * 2 - 1, size=(70, 90))
    difference = float((engine(image) - translator(image)).abs().max())
    if not difference <= _TOLERANCES[precision]:
        raise MachineError(f"--engine {engine.name}: differs from torch by {difference:.2g} of a range of 2")


def _make_torch(translator: Translator, precision: str) -> Callable[[Tensor], Tensor]:
    device = next(translator.network.parameters()).device
    settle(translator.network, device)
    if precision == "fp32":
        return translator

    def run(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return translator(images).float()

    return run


def _make_compiled(translator: Translator, precision: str) -> Callable[[Tensor], Tensor]:
    translator.network.compile(dynamic=True)
    return _make_torch(translator, precision)


def _make_onnx(translator: Translator, precision: str) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(_find_export(translator), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return _pad_for(translator, lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0]))


def _make_openvino(translator: Translator, precision: str) -> Callable[[Tensor], Tensor]:
    import openvino

    hints: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    model = openvino.Core().compile_model(_find_export(translator), "CPU", hints)
    return _pad_for(translator, lambda images: torch.from_numpy(model(images.numpy())[0].copy()))


_MAKERS: dict[str, Callable[[Translator, str], Callable[[Tensor], Tensor]]] = {
    "torch": _make_torch,
    "compile": _make_compiled,
    "onnx": _make_onnx,
    "openvino": _make_openvino,
}


def _pad_for(translator: Translator, run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Bring images to the multiples that an exported network takes, and its results back to their size."""
    network = translator.network

    def padded(images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) <= network.stride:  # an exported side of one would be taken for a constant
            return translator(images)
        return run(pad_to_multiple(images.float().contiguous(), network.stride, network.smallest))[..., :height, :width]

    return padded


def export(translator: Translator, path: Path) -> None:
    """Write the network as ONNX for images of any number and of any sides that its stride divides."""
    if not is_installed("export"):
        raise MachineError("exporting needs more packages: pip install 'diptych[engines]'")
    stride = translator.network.stride
    sides = {axis: stride * Dim(name, min=2, max=4096) for axis, name in ((2, "rows"), (3, "columns"))}
    example = torch.zeros(2, translator.input.channels, 16 * stride, 20 * stride)
    shapes = {"x": {0: Dim("images", min=1, max=256), **sides}}
    # Channels last, instance norm goes image by image: the number of images would be fixed.
    network = copy.deepcopy(translator.network).to(memory_format=torch.contiguous_format)
    program = torch.onnx.export(
        network, (example,), dynamo=True, opset_version=_OPSET, dynamic_shapes=shapes, verbose=False
    )
    assert program is not None
    temporary = path.with_name(f".{uuid4().hex}.onnx")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            program.save(temporary, external_data=False)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written ({error.strerror or error})") from None


def _find_export(translator: Translator) -> str:
    """Return the file in the cache folder whose name follows from the weights, written if it is not there yet."""
    path = find_cache() / "engines" / f"{_hash(translator)}.onnx"
    if not path.is_file():
        export(translator, path)
    return str(path)


def _hash(translator: Translator) -> str:
    """Return a name that changes with the weights, the network and what exports it."""
    digest = hashlib.sha256(f"{translator.network.describe()} {torch.__version__} {_OPSET}".encode())
    for name, tensor in translator.network.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
