"""Files of weights that were made to do harm: bombs, strange tensors, programs, and mutations of real files."""

import copy
import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, safe_open, save_file


def make_laughs() -> bytes:
    """Return the pickle of a list of ten lists, each ten times the next, sixty deep."""
    program = b"\x80\x02(]q\x00"
    for number in range(60):
        program += b"](" + (b"h" + bytes([number])) * 10 + b"eq" + bytes([number + 1])
    return program + b"t."


def zip_pickle(path: Path, program: bytes, **members: bytes) -> None:
    """Write an archive as `torch.save` does, with a pickle of one's own and storages by `_KEY`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, content in members.items():
            archive.writestr(f"archive/data/{key[1:]}", content)


def write_integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def write_tensor(count: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Return the pickle of `{"x": tensor}` whose storage, size and strides are claimed."""
    words = [b"(" + b"".join(map(write_integer, numbers)) + b"t" for numbers in (size, stride)]
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + write_integer(
        count
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + write_integer(0) + b"".join(words)
    return b"\x80\x02}X\x01\x00\x00\x00x" + tensor + b"\x89ccollections\nOrderedDict\n)RtRs."


def call(name: str, argument: bytes) -> bytes:
    """Return the pickle of what a call of a function makes."""
    return b"\x80\x02}X\x01\x00\x00\x00xc" + name.replace(" ", "\n").encode() + b"\n(" + argument + b"tRs."


def deflate_storage(path: Path) -> None:
    torch.save({"model.1.weight": torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def repeat_entry(path: Path) -> None:
    """Write an archive whose directory names the same bytes again and again."""
    zip_pickle(path, write_tensor(1000, (1000,), (1,)), _0=bytes(4000))
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    size, start = struct.unpack("<II", data[end + 12 : end + 20])
    entries = data[start : start + size]
    last = entries[entries.rindex(b"PK\x01\x02") :]
    more = b"".join(last[:-1] + bytes([48 + number]) for number in range(1, 60))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 61, 61, size + len(more), start, 0)
    path.write_bytes(data[:start] + entries + more + tail)


LARGE = 700 * 10**6  # bytes that an array of them would take, filled with zeros


def make_large() -> bytes:
    return call("builtins bytearray", b"J" + struct.pack("<i", LARGE))


def write_before_archive(path: Path) -> None:
    """Write what torch reads by its first bytes, and behind it an archive, which Python finds from the end."""
    start = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    torch.save({"x": torch.zeros(2)}, path)
    path.write_bytes(b"".join([*start, make_large(), pickle.dumps([], 2)]) + path.read_bytes())


def spoil_end(path: Path) -> None:
    """Write an archive in whose last bytes Python sees a broken end, and whose first are five pickles too."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (("\nN.N.N.N.N.", b""), ("data.pkl", make_large()), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"a/{name}"), content)  # of 1980: letters alone
    path.write_bytes(path.read_bytes() + b"PK\5\6")


def add_member(path: Path, name: str, first: bool = True) -> None:
    """Write an archive with another pickle, under a name that torch may take for that of its own."""
    torch.save({"x": torch.zeros(2)}, path)
    with zipfile.ZipFile(path) as plain:
        members = [(f"x/{name.partition('/')[2]}", plain.read(name)) for name in plain.namelist()]
    members.insert(0 if first else len(members), (name, make_large()))
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(*member)


def hide_directory(path: Path) -> None:
    """Write an archive with two directories: Python takes the one before the end, torch the one it is sent to."""
    content, ends = b"", []
    for program in (make_large(), b"\x80\x02}."):
        entries = b""
        for name, data in ((b"a/data.pkl", program), (b"a/version", b"3\n"), (b"a/byteorder", b"little")):
            words = struct.pack("<5H3I2H", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0)
            entries += b"PK\1\2" + struct.pack("<H", 20) + words + struct.pack("<3H2I", 0, 0, 0, 0, len(content)) + name
            content += b"PK\3\4" + words + name + data
        ends.append(len(content + entries))
        end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, len(entries), len(content))
        content += entries + end
    content += struct.pack("<4sIQI", b"PK\6\7", 0, ends[0], 1)
    path.write_bytes(content + b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2))


def share_one_tensor(path: Path) -> None:
    torch.save(dict.fromkeys((f"x{number}" for number in range(200)), torch.zeros(10**5)), path)


def write_header(path: Path, header: Any, text: str | None = None) -> None:
    save_file({"x": torch.zeros(1)}, path, metadata={"diptych": text or json.dumps(header)})


def describe(network: str, **arguments: Any) -> dict[str, Any]:
    return {"format": 2, "network": network, "arguments": arguments, "notes": {}}


def write_float8(path: Path) -> None:
    state = {"x": torch.zeros(4).to(torch.float8_e4m3fn)}
    torch.save(state, path) if path.suffix == ".pth" else save_file(state, path)


def write_wide_checkpoint(path: Path) -> None:
    """Write a checkpoint that describes a network of gigabytes."""
    wide = {"network": "ResnetGenerator", "arguments": {"width": 1024, "blocks": 64}, "prefix": "generator_ab."}
    header = {"format": 2, "translators": {"ab": wide}}
    torch.save({"diptych": header, "state_dict": {"generator_ab.x": torch.zeros(1)}}, path)


WIDE_STATE = {"model.1.weight": (1024, 3, 7, 7), "model.26.weight": (3, 1024, 7, 7)}
HOSTILE: dict[str, Callable[[Path], Any]] = {
    "wide.safetensors": lambda p: write_header(p, describe("ResnetGenerator", width=1024, blocks=64)),
    "vgg.safetensors": lambda p: write_header(p, describe("WCTGenerator", deepest=5, levels=5)),
    "layers.safetensors": lambda p: write_header(p, describe("ResnetGenerator", blocks=10**6)),
    "number.safetensors": lambda p: write_header(
        p, None, '{"format":2,"network":"UnetGenerator","notes":{},"arguments":{"depth":1e999}}'
    ),
    "network.safetensors": lambda p: write_header(p, describe("UnetGenerator") | {"arguments": {"network": "x"}}),
    "deep.safetensors": lambda p: write_header(p, None, '{"format":2,"network":"x","notes":' + "[" * 10**5),
    "deeper.safetensors": lambda p: write_header(p, None, '{"format":2,"notes":' + "[" * 500 + "]" * 500 + "}"),
    "endless.safetensors": lambda p: write_header(p, None, "[" + "{}," * 10**6 + "{}]"),
    "float8.safetensors": write_float8,
    "float8.pth": write_float8,
    "sparse.pth": lambda p: torch.save({"x": torch.eye(3).to_sparse()}, p),
    "csr.pth": lambda p: torch.save({"x": torch.eye(3).to_sparse_csr()}, p),
    "meta.pth": lambda p: torch.save({"x": torch.zeros(10**6, 10**6, device="meta")}, p),
    "nested.pth": lambda p: torch.save({"x": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}, p),
    "quantised.pth": lambda p: torch.save({"x": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}, p),
    "complex.pth": lambda p: torch.save({"x": torch.zeros(4, dtype=torch.complex64)}, p),
    "expanded.pth": lambda p: torch.save({"model.1.weight": torch.zeros(1).expand(10**4, 10**4, 10**3, 10)}, p),
    "overlapping.pth": lambda p: zip_pickle(p, write_tensor(4, (10**6, 10**6), (0, 0)), _0=bytes(16)),
    "beyond.pth": lambda p: zip_pickle(p, write_tensor(4, (10**6, 10**6), (10**6, 1)), _0=bytes(16)),
    "claimed.pth": lambda p: zip_pickle(p, write_tensor(10**12, (10**12,), (1,)), _0=bytes(16)),
    "negative.pth": lambda p: zip_pickle(p, write_tensor(-4, (-4,), (-1,)), _0=bytes(16)),
    "shared.pth": share_one_tensor,
    "deflated.pth": deflate_storage,
    "repeated.pth": repeat_entry,
    "bytes.pth": lambda p: zip_pickle(p, call("builtins bytearray", write_integer(10**11))),
    "tensor.pth": lambda p: zip_pickle(p, call("torch FloatTensor", write_integer(10**11))),
    "untyped.pth": lambda p: zip_pickle(p, call("torch.storage UntypedStorage", write_integer(10**11))),
    "laughs.pth": lambda p: zip_pickle(p, make_laughs()),
    "nesting.pth": lambda p: zip_pickle(p, b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."),
    "objects.pth": lambda p: zip_pickle(p, b"\x80\x02(" + b"}" * 3 * 10**6 + b"t."),
    "itself.pth": lambda p: zip_pickle(p, b"\x80\x02}q\x00X\x01\x00\x00\x00xh\x00s."),
    "memo.pth": lambda p: zip_pickle(p, b"\x80\x02}r\xff\xff\xff\xff."),
    "text.pth": lambda p: zip_pickle(p, b"\x80\x02X\xff\xff\xff\xffabc."),
    "legacy.pth": lambda p: p.write_bytes(
        pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        + pickle.dumps(1001, 2)
        + pickle.dumps({"little_endian": True}, 2)
        + write_tensor(10**12, (10**12,), (1,))
    ),
    "wide.ckpt": write_wide_checkpoint,
    "original.pth": lambda p: torch.save({name: torch.zeros(1).expand(shape) for name, shape in WIDE_STATE.items()}, p),
    "renamed.pth": lambda p: torch.save({"model.model.0.weight": torch.zeros(4, 3, 4, 4)}, p),
    "third.pth": lambda p: torch.save(
        {f"model.{10**50}.weight": torch.zeros(4, 3, 4, 4), "model.0.weight": torch.zeros(4, 3, 4, 4)}, p
    ),
    "prefix.pth": write_before_archive,
    "end.pth": spoil_end,
    "capitals.pth": lambda p: add_member(p, "x/DATA.PKL"),
    "last.pth": lambda p: add_member(p, "x/DATA.PKL", first=False),
    "folder.pth": lambda p: add_member(p, "y/Data.pkl"),
    "directory.pth": hide_directory,
}

_NONSENSE: list[Any] = [
    *(None, True, -1, 0, 3, 10**30, -(10**12), 2.5, float("nan"), float("inf")),
    *("", "x", "ab", "\ud800", "é\x1b[31m\n日本", "a" * 5000),
    *([], {}, [[[[]]]], [1, "x"], {"a": {"b": {}}}, {"network": "x"}, (1, 2)),
    *(torch.zeros(2), torch.zeros(3).int()),
]


def mutate(words: Any, dice: random.Random) -> Any:
    """Return the words with one to three values replaced, removed, added or wrapped, at any depth."""
    words = copy.deepcopy(words)
    for _ in range(dice.randint(1, 3)):
        holders = [(holder, key) for holder, key in _find_places(words) if not isinstance(holder, tuple)]
        # a place is chosen by its depth first: a state dict's tensors would outnumber everything else
        holder, key = dice.choice(dice.choice(list(_group(holders))))
        match dice.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[dice.choice(["extra", "network", 5, "", "é"])] = copy.deepcopy(dice.choice(_NONSENSE))
            case 2:
                holder[key] = dice.choice([lambda v: [v], lambda v: {"x": v}, str, lambda v: {5: v}])(holder[key])
            case _:
                holder[key] = copy.deepcopy(dice.choice(_NONSENSE))
        if not words:
            break
    return words


def _find_places(words: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(words) if isinstance(words, dict) else range(len(words)) if isinstance(words, list) else ()
    for key in keys:
        yield words, key
        yield from _find_places(words[key])


def _group(places: list[tuple[Any, Any]]) -> Iterator[list[tuple[Any, Any]]]:
    holders: dict[int, list[tuple[Any, Any]]] = {}
    for holder, key in places:
        holders.setdefault(id(holder), []).append((holder, key))
    yield from holders.values()


def spoil_bytes(content: bytes, dice: random.Random) -> bytes:
    """Return the content with bits flipped, cut short, or with bytes inserted, removed or repeated."""
    data = bytearray(content)
    for _ in range(dice.choice([1, 1, 1, 5, 50])):
        # most of them near the beginning or the end, where headers and directories are
        edge = min(len(data), 400)
        place = dice.choice([dice.randrange(len(data)), dice.randrange(edge), -dice.randint(1, edge)])
        data[place] ^= 1 << dice.randrange(8)
    match dice.randrange(6):
        case 0:
            del data[dice.randrange(len(data)) :]
        case 1:
            place = dice.randrange(len(data))
            data[place:place] = dice.randbytes(dice.randrange(1, 200))
        case 2:
            place = dice.randrange(len(data))
            del data[place : place + dice.randrange(1, 200)]
    return bytes(data)


def write_mutant(source: Path, target: Path, seed: int) -> None:
    """Write a mutation of a real file: of its bytes, or of what it says."""
    dice = random.Random(seed)
    content = source.read_bytes()
    if dice.random() < 0.4:
        target.write_bytes(spoil_bytes(content, dice))
    elif source.suffix == ".safetensors":
        with safe_open(source, framework="pt") as file:
            header = json.loads(file.metadata()["diptych"])
        tensors = load_file(source)
        text = json.dumps(mutate(header, dice), default=str)
        save_file(tensors, target, metadata={"diptych": text.encode("utf-8", "replace").decode()})
    else:
        words = torch.load(io.BytesIO(content), weights_only=True)
        torch.save(mutate(words, dice), target, _use_new_zipfile_serialization=content.startswith(b"PK"))
