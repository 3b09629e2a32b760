"""Engines: the same network run by torch, compiled by it, or exported to ONNX Runtime or OpenVINO.

Whatever runs it must agree with torch on a test image before it is used.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.errors import MachineError, UserError, name_reason
from diptych.images import Form
from diptych.inference.device import settle
from diptych.inference.exporting import find_export, is_installed
from diptych.networks.layers import pad_to_multiple
from diptych.translators import NetworkTranslator, Progress, Style, StyleLike, Translator

ENGINES = ("auto", "torch", "compile", "onnx", "openvino")
PRECISIONS = ("fp32", "bf16")
WORTH_EXPORTING = 64
"""Images from which on `auto` exports: before, torch would be ready sooner."""
_TRIAL = 256  # pixels a side of the image that `auto` times engines with
_TOLERANCES = {"fp32": 2e-3, "bf16": 0.25}  # of outputs in [-1, 1], at the worst pixel


@dataclass(frozen=True)
class Engine:
    """A way of running a translator, which is a translator again."""

    name: str
    translator: Translator

    def __call__(self, images: Tensor) -> Tensor:
        return self.translator(images)


class ExportedTranslator(Translator):
    """A network that another runtime applies to the content alone; images are on the CPU."""

    def __init__(self, origin: NetworkTranslator, run: Callable[[Tensor], Tensor]) -> None:
        self._origin, self._run = origin, run
        self.notes: Mapping[str, Any] = origin.notes

    def _iterate(
        self, content: Tensor, styles: tuple[Style, ...], seed: int, steps: int | None, strength: float
    ) -> Iterator[Progress]:
        images, network = content.float().cpu(), self._origin.network
        height, width = images.shape[-2:]
        if min(height, width) <= network.stride:  # an exported side of one would be taken for a constant
            result = self._origin(images)
        else:
            padded = pad_to_multiple(images.contiguous(), network.stride, network.smallest)
            result = self._run(padded)[..., :height, :width]
        yield Progress(1, 1, result)

    @property
    def input(self) -> Form:
        return self._origin.input

    @property
    def output(self) -> Form:
        return self._origin.output


class ReducedTranslator(NetworkTranslator):
    """A network that computes in bfloat16 where torch thinks it safe."""

    @torch.inference_mode()
    def _iterate(
        self, content: Tensor, styles: tuple[Style, ...], seed: int, steps: int | None, strength: float
    ) -> Iterator[Progress]:
        with self._reduce():
            for progress in super()._iterate(content, styles, seed, steps, strength):
                yield progress._replace(image=progress.image.float())

    def encode(self, style: StyleLike) -> tuple[Style, ...]:
        with self._reduce():
            return super().encode(style)

    def _reduce(self) -> torch.autocast:
        return torch.autocast(next(self.network.parameters()).device.type, torch.bfloat16)


def choose_engine(
    translator: NetworkTranslator, word: str = "auto", precision: str = "fp32", images: int = 1, plain: bool = True
) -> Engine:
    """Return the engine that a word names; `auto` takes the fastest that is installed and agrees with torch.

    `plain`: the network is given the content alone; otherwise only torch can run it. `UserError` for a word that is
    unknown or makes no sense here, `MachineError` where the engine is not installed or does not agree.
    """
    if word not in ENGINES:
        raise UserError(f"--engine {word} is not one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision} is not one of {', '.join(PRECISIONS)}")
    if word in _EXPORTED and not plain:
        raise UserError(f"--engine {word} runs a network in one pass, without style, seed or steps; say torch")
    if word != "auto":
        return _start(translator, word, precision)
    started = [_start(translator, "torch", precision)]
    on_cpu = next(translator.network.parameters()).device.type == "cpu"
    for candidate in ("openvino", "onnx") if plain and on_cpu and images >= WORTH_EXPORTING else ():
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


def _start(translator: NetworkTranslator, word: str, precision: str) -> Engine:
    if not is_installed(word):
        raise MachineError(f"--engine {word} needs more packages: pip install 'diptych[engines]'")
    if word == "onnx" and precision != "fp32":
        raise UserError(f"--engine onnx computes in fp32, not in {precision}; --engine openvino does")
    try:
        engine = Engine(f"{word}, {precision}", _MAKERS[word](translator, precision))
        if engine.translator is not translator:
            _check(translator, engine, precision)
    except (MachineError, UserError):
        raise
    except Exception as error:  # exporters and runtimes raise what they like
        reason = name_reason(error)[:200]
        raise MachineError(f"--engine {word}: cannot run this network here ({reason}); try --engine torch") from None
    return engine


def _check(translator: NetworkTranslator, engine: Engine, precision: str) -> None:
    """Compare with torch in fp32 on a smooth random image of an odd size."""
    random = torch.Generator().manual_seed(0)
    channels = translator.input.channels
    image = torch.nn.functional.interpolate(torch.rand(1, channels, 9, 11, generator=random) * 2 - 1, size=(70, 90))
    difference = float((engine(image).cpu() - translator(image).cpu()).abs().max())
    if not difference <= _TOLERANCES[precision]:
        raise MachineError(f"--engine {engine.name}: differs from torch by {difference:.2g} of a range of 2")


def _make_torch(translator: NetworkTranslator, precision: str) -> Translator:
    settle(translator.network, next(translator.network.parameters()).device)
    return translator if precision == "fp32" else ReducedTranslator(translator.network, translator.notes)


def _make_compiled(translator: NetworkTranslator, precision: str) -> Translator:
    translator.network.compile(dynamic=True)
    return _make_torch(translator, precision)


def _make_onnx(translator: NetworkTranslator, precision: str) -> Translator:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised too, and said in one line
    session = onnxruntime.InferenceSession(find_export(translator), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return ExportedTranslator(translator, lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0]))


def _make_openvino(translator: NetworkTranslator, precision: str) -> Translator:
    import openvino

    hints: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    model = openvino.Core().compile_model(find_export(translator), "CPU", hints)
    return ExportedTranslator(translator, lambda images: torch.from_numpy(model(images.numpy())[0].copy()))


_EXPORTED = ("onnx", "openvino")
_MAKERS: dict[str, Callable[[NetworkTranslator, str], Translator]] = {
    "torch": _make_torch,
    "compile": _make_compiled,
    "onnx": _make_onnx,
    "openvino": _make_openvino,
}
