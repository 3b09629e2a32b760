"""What `torch.save` wrote, read without executing anything and in a small multiple of the file's size.

A pickle is a program that may call whatever it names, and a file of a few bytes may ask for any amount of memory. Here
it is followed by an interpreter that makes dicts, lists, tuples, numbers, text and dense tensors, and nothing else; a
tensor is made only of numbers that are in the file.
"""

import pickletools
import sys
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from diptych.errors import name_reason

_DTYPES = {
    "torch DoubleStorage": torch.float64, "torch FloatStorage": torch.float32, "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16, "torch LongStorage": torch.int64, "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16, "torch CharStorage": torch.int8, "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}  # fmt: skip
_MADE = (
    "collections OrderedDict", "torch Size", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # which files begin with that were written before torch 1.6
_MOST = 1_000_000  # instructions, and things that they make; the checkpoint of a large run has a hundred thousand
_DEEPEST = 64  # things in things
_SHARED = 4  # times that tensors may be as large as the file, by looking at the same numbers


class _Global(NamedTuple):
    """A name in a pickle, of one of the few things that can be made."""

    name: str


def read_saved(path: Path) -> Any:
    """Return the dicts, lists, numbers, texts and tensors of a file; `ValueError` says in a line why it cannot be."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content = _read_zip(file, size) if zipped else _read_legacy(file, size)
        _check_extent(content, size)
    except Exception as error:  # whatever may go wrong in half a dozen libraries with a file that is damaged or hostile
        raise ValueError(name_reason(error)) from None
    return content


def _read_zip(file: IO[bytes], size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if sum(info.file_size for info in archive.infolist()) > size:
            raise ValueError("it unpacks to more than it is, as a bomb would")
        (program,) = (name for name in members if name.count("/") == 1 and name.endswith("/data.pkl"))
        folder = program.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in members and archive.read(order) != sys.byteorder.encode():
            raise ValueError("it is of a machine with another order of bytes")
        with archive.open(program) as stream:
            return _Interpreter(_ZipStorages(size, archive, folder)).run(stream)


def _read_legacy(file: IO[bytes], size: int) -> Any:
    storages = _LegacyStorages(size)
    interpreter = _Interpreter(storages)
    if (interpreter.run(file), interpreter.run(file)) != (_MAGIC, _PROTOCOL):
        raise ValueError("torch.save did not write it")
    if interpreter.run(file)["little_endian"] != (sys.byteorder == "little"):
        raise ValueError("it is of a machine with another order of bytes")
    content = interpreter.run(file)
    storages.fill(file, interpreter.run(file))
    return content


class _Storages(ABC):
    """The numbers that tensors look at, by key; together they are not larger than the file."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.found: dict[str, Tensor] = {}

    def find(self, word: str, kind: _Global, key: str, device: str, count: int, view: Any = None) -> Tensor:
        """Return the one-dimensional tensor that a pickle asks for by these words, on the CPU."""
        if word != "storage" or kind.name not in _DTYPES or type(count) is not int or count < 0:
            raise ValueError("it holds something other than dense tensors")
        dtype = _DTYPES[kind.name]
        if key not in self.found:
            self.left -= count * dtype.itemsize
            if self.left < 0:
                raise ValueError("its tensors would be larger than it is")
            self.found[key] = self.make(key, count * dtype.itemsize)
        numbers = self.found[key].view(dtype)
        if view is None:
            return numbers
        _, start, length = view
        return numbers.narrow(0, start, length)

    @abstractmethod
    def make(self, key: str, size: int) -> Tensor:
        """Return so many bytes."""


class _ZipStorages(_Storages):
    """A member of the archive each, whose check sum is compared."""

    def __init__(self, size: int, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(size)
        self.archive, self.folder = archive, folder

    def make(self, key: str, size: int) -> Tensor:
        with self.archive.open(f"{self.folder}data/{key}") as source:
            data = _read_bytes(source, size)
            if source.read(1):
                raise ValueError("a tensor's numbers are more than it says")
        return data


class _LegacyStorages(_Storages):
    """One after the other behind the pickles."""

    def make(self, key: str, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def fill(self, file: IO[bytes], keys: Iterable[str]) -> None:
        """Read them in the order of the keys, each after its count of numbers."""
        for key in keys:
            file.seek(8, 1)
            self.found[key].copy_(_read_bytes(file, len(self.found[key])))


def _read_bytes(source: IO[bytes], size: int) -> Tensor:
    data = torch.empty(size, dtype=torch.uint8)
    if source.readinto(data.numpy()) != size:  # type: ignore[attr-defined]
        raise ValueError("it is cut short")
    return data


class _Interpreter:
    """Follows pickles of protocol 2, as far as `torch.save` needs it."""

    def __init__(self, storages: _Storages) -> None:
        self.storages = storages
        self.left = _MOST

    def run(self, stream: IO[bytes]) -> Any:
        """Return what the next pickle of a stream makes."""
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        for instruction, argument, _ in pickletools.genops(stream):
            self.left -= 1
            if self.left < 0:
                raise ValueError("it is far too long")
            if instruction.name == "STOP":
                break
            self._follow(instruction.name, argument)
        return self.stack.pop()

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE":
                stack.append(tuple(self._pop_marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND" | "APPENDS":
                items = [stack.pop()] if name == "APPEND" else self._pop_marked()
                _require(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._pop_marked()
                _put(stack[-1], zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                if argument not in _MADE and argument not in _DTYPES:
                    raise ValueError(
                        f"it holds a {argument.replace(' ', '.')}; dense tensors, numbers and text are read"
                    )
                stack.append(_Global(argument))
            case "BINPERSID":
                stack.append(self.storages.find(*stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_make(stack.pop().name, *arguments))
            case "BUILD":  # an ordered dict's attributes, of which none is of use
                stack.pop()
            case _ if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case _ if name in _PLAIN:
                stack.append(argument)
            case _:
                raise ValueError("it is more than dense tensors, numbers and text")

    def _pop_marked(self) -> list[Any]:
        mark = self.marks.pop()
        items, self.stack[mark:] = self.stack[mark:], []
        return items


def _make(name: str, first: Any = (), *others: Any) -> Any:
    """Call what a pickle names, of the few things that it may."""
    if name == "collections OrderedDict":
        made: dict[Any, Any] = {}
        _put(made, first)
        return made
    if name == "torch Size":
        return tuple(first)
    numbers = _require(first, Tensor)
    if name == "torch._utils _rebuild_parameter":
        return numbers
    offset, size, stride = others[:3]
    view = numbers.as_strided(size, stride, offset)
    if view.numel() > numbers.numel():
        raise ValueError("a tensor has more numbers than there are for it")
    return view


def _require(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError("it is damaged")
    return value


def _put(target: Any, pairs: Iterable[Any]) -> None:
    """Add to a dict; keys are words and small numbers, so that nobody can choose them to collide."""
    mapping = _require(target, dict)
    for key, value in pairs:
        if not (type(key) is str or (type(key) is int and abs(key) < 2**31)):
            raise ValueError("it has keys that are neither words nor small numbers")
        mapping[key] = value


def _check_extent(content: Any, size: int) -> None:
    """Refuse what a pickle makes large or endless by naming the same thing again and again."""
    things, left, room = [(content, 0)], _MOST, _SHARED * size
    while things:
        thing, depth = things.pop()
        if isinstance(thing, Tensor):
            room -= thing.nbytes
        elif isinstance(thing, _Global):
            raise ValueError("it is damaged")
        items = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ()
        left -= len(items)
        if left < 0 or room < 0 or depth > _DEEPEST:
            raise ValueError("what it holds is far larger or deeper than it is")
        things.extend((item, depth + 1) for item in items)
