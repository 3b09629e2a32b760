"""Recognising networks of the original CycleGAN, pix2pix and CUT code from the names and shapes of their tensors."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

Recognised = tuple[str, dict[str, Any], dict[str, Tensor], str]

_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


def recognise(content: Mapping[str, Any]) -> Recognised:
    """Return the network's name, its arguments, its tensors, and what was recognised in words.

    Takes `module.` and `_orig_mod.` prefixes and the running statistics of old instance norms.
    Raises `ValueError` saying why when the tensors are none of the known networks.
    """
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError("it is no plain state dict")
    tensors = {re.sub(r"^((module|_orig_mod)\.)+", "", str(name)): tensor for name, tensor in content.items()}
    tensors = _drop_instance_statistics(tensors)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for first, rank, read in (
        ("model.model.0.weight", 4, _read_unet),
        ("model.1.weight", 4, _read_resnet),
        ("model.0.weight", 4, _read_patch),
        ("net.0.weight", 4, _read_pixel),
    ):
        if len(shapes.get(first, ())) == rank:
            try:
                name, arguments = read(shapes)
            except LookupError:  # a tensor that such a network has is missing
                break
            return name, arguments, tensors, _say(name, arguments)
    raise ValueError(f"its tensors ({next(iter(shapes))}, …) are of no known network")


def _drop_instance_statistics(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Old instance norms carried running statistics, which were never used; batch norms also have a weight."""

    def belongs_to_instance(name: str) -> bool:
        owner, _, _ = name.rpartition(".")
        return name.endswith(_STATISTICS) and f"{owner}.weight" not in tensors

    return {name: tensor for name, tensor in tensors.items() if not belongs_to_instance(name)}


def _convolutions(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> list[tuple[int, ...]]:
    """Return the shapes of the 4-dimensional weights whose name matches, in the order of their number."""
    found = []
    for name, shape in shapes.items():
        match = re.fullmatch(pattern, name)
        if match and len(shape) == 4:
            found.append((int(match[1]), shape))
    return [shape for _, shape in sorted(found)]


def _read_norm(shapes: Mapping[str, tuple[int, ...]], hidden_bias: str) -> str:
    """Batch norm leaves statistics; instance norm leaves none but the convolution before it has a bias."""
    if any(name.endswith(".running_mean") for name in shapes):
        return "batch"
    return "instance" if hidden_bias in shapes else "none"


def _read_resnet(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, dict[str, Any]]:
    outer = _convolutions(shapes, r"model\.(\d+)\.weight")
    blocks = {match[1] for name in shapes if (match := re.match(r"model\.(\d+)\.conv_block\.", name))}
    filters = {shape[-1] for name, shape in shapes.items() if name.endswith(".filt")}
    dropout = any(re.search(r"conv_block\.6\.weight$", name) and len(shape) == 4 for name, shape in shapes.items())
    return "ResnetGenerator", {
        "in_channels": outer[0][1],
        "out_channels": outer[-1][0],
        "width": outer[0][0],
        "blocks": len(blocks),
        "norm": _read_norm(shapes, "model.4.bias"),
        "dropout": dropout,
        "upsampling": "antialias" if 4 in filters else "transposed",
        "downsampling": "antialias" if 3 in filters else "strided",
    }


def _read_unet(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, dict[str, Any]]:
    inner = "model.model.1.model.1.weight"
    depth, name = 1, inner
    while name in shapes:
        depth, name = depth + 1, name.replace(".model.1.weight", ".model.3.model.1.weight")
    width, in_channels = shapes["model.model.0.weight"][:2]
    return "UnetGenerator", {
        "in_channels": in_channels,
        "out_channels": shapes["model.model.3.weight"][1],
        "width": width,
        "depth": depth,
        "norm": _read_norm(shapes, inner.replace("weight", "bias")),
    }


def _read_patch(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, dict[str, Any]]:
    convolutions = _convolutions(shapes, r"model\.(\d+)\.weight")
    antialias = any(name.endswith(".filt") for name in shapes)
    return "PatchDiscriminator", {
        "in_channels": convolutions[0][1],
        "width": convolutions[0][0],
        "layers": len(convolutions) - 2,
        "norm": _read_norm(shapes, "model.3.bias" if antialias else "model.2.bias"),
        "downsampling": "antialias" if antialias else "strided",
    }


def _read_pixel(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, dict[str, Any]]:
    width, in_channels = shapes["net.0.weight"][:2]
    return "PixelDiscriminator", {
        "in_channels": in_channels,
        "width": width,
        "norm": _read_norm(shapes, "net.2.bias"),
    }


def _say(name: str, arguments: Mapping[str, Any]) -> str:
    """Say what was recognised: `ResnetGenerator of the original code: 9 blocks, width 64, instance norm, …`."""
    parts = [f"{arguments[word]} {word}" for word in ("blocks", "layers") if word in arguments]
    parts += [f"{word} {arguments[word]}" for word in ("depth", "width") if word in arguments]
    parts.append(f"{arguments['norm']} norm" if arguments["norm"] != "none" else "no norm")
    if "dropout" in arguments:
        parts.append("dropout" if arguments["dropout"] else "no dropout")
    elif name == "UnetGenerator":
        parts.append("dropout leaves no trace in the file and is taken as off")
    sampling = {arguments.get("upsampling"), arguments.get("downsampling")}
    parts.append("antialiased" if "antialias" in sampling else "not antialiased")
    return f"{name} of the original code: {', '.join(parts)}"
