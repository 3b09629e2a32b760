"""Networks written as ONNX, for engines and for other programs."""

import copy
import hashlib
import importlib.util
from pathlib import Path

import torch
from torch.export import Dim

from diptych.errors import MachineError, UserError
from diptych.files import find_cache, write_whole
from diptych.translators import NetworkTranslator

_OPSET = 20
_PACKAGES = {"export": ("onnxscript",), "onnx": ("onnxruntime", "onnxscript"), "openvino": ("openvino", "onnxscript")}


def is_installed(engine: str) -> bool:
    """Whether what an engine needs can be imported."""
    return all(importlib.util.find_spec(package) is not None for package in _PACKAGES.get(engine, ()))


def export(translator: NetworkTranslator, path: Path) -> None:
    """Write the network as ONNX for images of any number and of any sides that its stride divides."""
    if not is_installed("export"):
        raise MachineError("exporting needs more packages: pip install 'diptych[engines]'")
    if translator.takes_steps:
        raise UserError(f"{translator.title}: this translator works in steps, which ONNX does not hold")
    stride = translator.network.stride
    sides = {axis: stride * Dim(name, min=2, max=4096) for axis, name in ((2, "rows"), (3, "columns"))}
    example = torch.zeros(2, translator.input.channels, 16 * stride, 20 * stride)
    shapes = {"x": {0: Dim("images", min=1, max=256), **sides}}
    # Channels last, instance norm goes image by image: the number of images would be fixed.
    network = copy.deepcopy(translator.network).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    program = torch.onnx.export(
        network, (example,), dynamo=True, opset_version=_OPSET, dynamic_shapes=shapes, verbose=False
    )
    assert program is not None
    with write_whole(path) as temporary:
        program.save(temporary, external_data=False)


def find_export(translator: NetworkTranslator) -> str:
    """Return the file in the cache folder whose name follows from the weights, written if it is not there yet."""
    path = find_cache() / "engines" / f"{_hash(translator)}.onnx"
    if not path.is_file():
        export(translator, path)
    return str(path)


def _hash(translator: NetworkTranslator) -> str:
    """Return a name that changes with the weights, the network and what exports it."""
    digest = hashlib.sha256(f"{translator.network.describe()} {torch.__version__} {_OPSET}".encode())
    for name, tensor in translator.network.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
