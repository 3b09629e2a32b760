"""What `torch.save` wrote: looked through before torch reads it, and looked over afterwards.

`torch.load(weights_only=True)` executes nothing, but what it makes may be far larger than the file: a sparse tensor of
75 GB takes 300 bytes. So a file may name only what dense tensors, dicts and numbers are made of, and what comes of it
has to be about as large as the file. What is looked through must be what torch reads: it tells an archive by its first
four bytes, and its reader of archives finds another directory than Python's in files that were made for that, so that
it is given the directory that was looked through.
"""

import math
import os
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from diptych.errors import DataError, name_reason
from diptych.networks.overlay import Overlay

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_NAMED = frozenset(
    {"collections OrderedDict", "torch Size", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2"}
    | {"torch._utils _rebuild_parameter"}
    | {f"torch {kind}Storage" for kind in _STORAGES}
)
"""All that dense tensors, and dicts of them, are made of."""
_MOST = 2_000_000  # instructions, and things that they make; the checkpoint of a large run has a hundred thousand
_DEEPEST = 64  # things in things
_SHARED = 4  # times that tensors may be as large as the file, by looking at the same numbers
_ZIP = b"PK\3\4"
_LEGACY = ("magic number", "protocol", "system", "content", "order")  # pickles that files before torch 1.6 begin with
_SIZED = ("content", "order")  # those of them that say how large storages are, which torch believes


def read_saved(path: Path) -> Any:
    """Return the dicts, lists, numbers, texts and tensors of a file; `ValueError` says in a line why it cannot be."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            zipped = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            seen = _look_into_zip(file, size) if zipped else _look_into_legacy(file, size)
            seen.seek(0)
            content = torch.load(seen, map_location="cpu", weights_only=True)
        _look_over(content, size)
    except Exception as error:  # whatever may go wrong in half a dozen libraries with a file that is damaged or hostile
        raise ValueError(name_reason(error)) from None
    return content


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a file of `torch.save` or safetensors, without executing anything in it."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = read_saved(path)
    except Exception as error:  # safetensors raises what it likes
        raise DataError(f"{path}: no weights can be read ({name_reason(error)})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path}: it is no state dict")
    return state


def _look_into_legacy(file: IO[bytes], size: int) -> IO[bytes]:
    for pickle in _LEGACY:
        _look_through(file, largest=size if pickle in _SIZED else math.inf)
    return file


def _look_into_zip(file: IO[bytes], size: int) -> IO[bytes]:
    """Return the archive with the directory that Python has found in it, once more, at its end."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise ValueError("it unpacks to more than it is, as a bomb would")
        (program,) = _check_names([member.filename for member in members])
        if damaged := archive.testzip():
            raise ValueError(f"the check sum of {damaged} does not agree")
        with archive.open(program) as stream:
            _look_through(stream)
    seen = cast(IO[bytes], Overlay(file, size))
    with zipfile.ZipFile(seen, "w") as archive:  # which writes nothing but the directory
        for member in members:
            member.extra = member.comment = b""
            archive.filelist.append(member)
    return seen


def _check_names(names: list[str]) -> list[str]:
    """Return those of pickles; `ValueError` for names that torch, to which capitals are small, may take for others."""
    roots = {name.partition("/")[0] for name in names}
    distinct = {name.casefold() for name in names}
    if len(roots) != 1 or len(distinct) < len(names) or any(letter < " " for name in names for letter in name):
        raise ValueError("the names in it are not those of one folder's files")
    return [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]


def _look_through(stream: IO[bytes], largest: float = math.inf) -> None:
    """Go through a pickle's instructions without following them; `ValueError` where one is not for plain tensors."""
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        if count > _MOST:
            raise ValueError("it is far too long")
        if instruction.name == "GLOBAL" and argument not in _NAMED:
            raise ValueError(f"it holds a {str(argument).replace(' ', '.')}; dense tensors, numbers and text are read")
        if instruction.name == "STACK_GLOBAL":
            raise ValueError("it names what is not known beforehand")
        if isinstance(argument, int) and argument > largest:
            raise ValueError("a size in it is larger than it is")


def _look_over(content: Any, size: int) -> None:
    """Refuse tensors that are not dense, or look at more than there is, and what is large or endless by repetition."""
    things, left, room = [(content, 0)], _MOST, _SHARED * size
    while things:
        thing, depth = things.pop()
        if isinstance(thing, Tensor):
            if thing.layout != torch.strided or thing.numel() > thing.untyped_storage().nbytes() // thing.itemsize:
                raise ValueError("a tensor has more numbers than there are for it")
            room -= thing.nbytes
        items = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ()
        left -= len(items)
        if left < 0 or room < 0 or depth > _DEEPEST:
            raise ValueError("what it holds is far larger or deeper than it is")
        if isinstance(thing, dict) and not all(isinstance(key, str | int) for key in thing):
            raise ValueError("it has keys that are neither words nor numbers")
        things.extend((item, depth + 1) for item in items)
