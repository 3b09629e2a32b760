"""Unpacking: honest archives whole, hostile and broken ones not at all."""

import gzip
import io
import random
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from diptych.data.archive import extract
from diptych.errors import DataError

FILES = {
    "set/trainA/a.jpg": b"\xff\xd8\xff first",
    "set/trainB/deep/b.png": random.Random(0).randbytes(1_100_000),
    "set/testA/é 日本.jpg": b"",
}
KINDS = ["set.zip", "set.tar", "set.tar.gz", "set.tar.bz2", "set.tar.xz"]
BOTH = ["set.zip", "set.tar"]


def pack(path: Path, files: dict[str, bytes], **changes: Any) -> Path:
    """Write a zip or tar archive whose members carry the changed attributes."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                for key, value in changes.items():
                    setattr(info, key, value)
                archive.writestr(info, content)
        return path
    compression: Any = {".tar": ""}.get(path.suffix, path.suffix.removeprefix("."))
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(archive: Path, **limits: int) -> str:
    """Return why the archive is refused, having seen that nothing was written outside of the folder."""
    before, out = sorted(archive.parent.parent.rglob("*")), archive.parent / "out"
    with pytest.raises(DataError) as caught:
        extract(archive, out, **limits)
    assert [path for path in sorted(archive.parent.parent.rglob("*")) if not path.is_relative_to(out)] == before
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{archive} cannot be unpacked: ")
    return str(caught.value).removeprefix(f"{archive} cannot be unpacked: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    return tmp_path / "inner"


@pytest.mark.parametrize("kind", KINDS)
def test_archives_are_unpacked(folder: Path, kind: str) -> None:
    extract(pack(folder / kind, FILES), folder / "out")
    assert read_all(folder / "out") == FILES
    assert sorted(path.name for path in folder.iterdir()) == ["out", kind]


@pytest.mark.parametrize("kind", BOTH)
def test_members_go_where_they_are_placed(folder: Path, kind: str) -> None:
    def place(path: PurePosixPath) -> PurePosixPath | None:
        return PurePosixPath("a", path.name) if "trainA" in path.parts else None

    archive = pack(folder / kind, FILES | {"set/trainA/": b"", "__MACOSX/trainA/._a.jpg": b"junk"})
    extract(archive, folder / "out", place)
    assert read_all(folder / "out") == {"a/a.jpg": FILES["set/trainA/a.jpg"]}
    with pytest.raises(DataError, match=r"cannot be unpacked: there is nothing in it that is wanted"):
        extract(archive, folder / "none", lambda _: None)


@pytest.mark.parametrize("kind", BOTH)
def test_separators_of_windows_and_modes_are_made_plain(folder: Path, kind: str) -> None:
    mode = stat.S_ISUID | 0o777
    changes = {"external_attr": (stat.S_IFREG | mode) << 16} if kind == "set.zip" else {"mode": mode}
    extract(pack(folder / kind, {".\\trainA\\run": b"#!"}, **changes), folder / "out")
    assert read_all(folder / "out") == {"trainA/run": b"#!"}
    (folder / "plain").write_bytes(b"")
    assert (folder / "out/trainA/run").stat().st_mode == (folder / "plain").stat().st_mode


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "name", ["/abs.jpg", "../up.jpg", "a/../../up.jpg", "C:/x.jpg", "..\\up.jpg", "\\\\host\\d\\x"]
)
def test_paths_stay_inside(folder: Path, kind: str, name: str) -> None:
    archive = pack(folder / kind, {"a.jpg": b"first", name: b"outside"})
    assert refuse(archive) == f"{name!r} lies outside of the folder"


@pytest.mark.parametrize("kind", BOTH)
def test_names_are_printable(folder: Path, kind: str) -> None:
    assert refuse(pack(folder / kind, {"a\nb.jpg": b"x"})) == "'a\\nb.jpg' has control characters in its name"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_zip_has_neither_links_nor_devices(folder: Path, kind: int) -> None:
    archive = pack(folder / "set.zip", {"trainA/a.jpg": b"/etc/passwd"}, external_attr=(kind | 0o777) << 16)
    assert refuse(archive) == "'trainA/a.jpg' is a link or a device"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_tar_has_neither_links_nor_devices(folder: Path, kind: bytes) -> None:
    archive = pack(folder / "set.tar", {"trainA/a.jpg": b""}, type=kind, linkname="/etc/passwd")
    assert refuse(archive) == "'trainA/a.jpg' is a link or a device"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_size": 2_500_000, "max_ratio": 10**6}, "it unpacks to far more than"),
        ({"max_ratio": 200}, "it unpacks to far more than"),
        ({"max_members": 4, "max_ratio": 10**6}, "there are more than 4 files in it"),
    ],
    ids=["size", "ratio", "members"],
)
def test_bombs_are_stopped(folder: Path, kind: str, limits: dict[str, int], reason: str) -> None:
    archive = pack(folder / kind, {f"{index}.bmp": bytes(1_000_000) for index in range(5)})
    if kind == "set.tar" and limits == {"max_ratio": 200}:
        extract(archive, folder / "fine", **limits)  # nothing in it is compressed
    else:
        assert refuse(archive, **limits).startswith(reason)
        assert sum(map(len, read_all(folder / "out").values())) <= 4_000_000


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("one", "other"), [("a.jpg", "a.jpg"), ("é.jpg", "e\u0301.JPG"), ("x/a.jpg", "x/A.jpg")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_member_overwrites_another(folder: Path, kind: str, one: str, other: str) -> None:
    path = folder / kind
    with zipfile.ZipFile(path, "w") if kind == "set.zip" else tarfile.open(path, "w") as archive:
        for name in (one, other):
            archive.writestr(name, b"x") if kind == "set.zip" else archive.addfile(tarfile.TarInfo(name))
    assert refuse(path) == f"{other!r} is in it twice, perhaps with other capitals"


@pytest.mark.parametrize("names", [("a", "a/b.jpg"), ("a/b.jpg", "a")])
def test_a_name_is_a_file_or_a_folder(folder: Path, names: tuple[str, str]) -> None:
    assert "File exists" in refuse(pack(folder / "set.zip", dict.fromkeys(names, b"x")))


def test_encryption_is_named(folder: Path) -> None:
    archive = pack(folder / "set.zip", {"a.jpg": b"secret"})
    content = bytearray(archive.read_bytes())
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + offset] |= 1
    archive.write_bytes(content)
    assert refuse(archive) == "'a.jpg' is encrypted"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_half_an_archive_is_none(folder: Path, kind: str, kept: float) -> None:
    archive = pack(folder / kind, FILES)
    archive.write_bytes(archive.read_bytes()[: int(kept * archive.stat().st_size)])
    refuse(archive)


def test_a_tar_that_ends_between_members_is_incomplete(folder: Path) -> None:
    archive = pack(folder / "set.tar", {"a": b"1", "b": b"2"})
    archive.write_bytes(archive.read_bytes()[:1024])
    assert refuse(archive) == "its end is missing"


@pytest.mark.parametrize("size", [2**50, 2**80])
def test_a_header_that_claims_too_much_is_damage(folder: Path, size: int) -> None:
    header = tarfile.TarInfo("name")
    header.type, header.size = tarfile.XHDTYPE, size
    (folder / "set.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(2**16))
    assert refuse(folder / "set.tar") == f"a header in it claims {size} bytes"


@pytest.mark.parametrize("kind", KINDS)
def test_damage_of_any_kind_is_an_error_of_one_line(folder: Path, kind: str) -> None:
    """Whatever a changed byte does to a library, it comes out whole or as a `DataError`, as `refuse` would see."""
    whole = pack(folder / kind, {"trainA/a.jpg": b"content" * 100, "trainA/b.jpg": b"b"}).read_bytes()
    draw, refused = random.Random(0), 0
    for turn in range(150):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(min(len(whole), 1600))] = draw.randrange(256)
        (folder / kind).write_bytes(content)
        try:
            extract(folder / kind, folder / f"out{turn}")
        except DataError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("content", [b"", b"no archive", bytes(1024), b"\x1f\x8b" + bytes(600), b"PK\x03\x04 and more"])
def test_other_files_are_no_archives(folder: Path, content: bytes) -> None:
    (folder / "set.zip").write_bytes(content)
    refuse(folder / "set.zip")


def pack_claim(path: Path, kind: bytes, size: int) -> Path:
    """Write a .tar.gz whose first header claims, and has, so many bytes of zeros for a name or a remark."""
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, size
    with gzip.open(path, "wb", compresslevel=9) as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size // 2**20):
            packed.write(bytes(2**20))
    return path


@pytest.mark.reliability
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME], ids=["x", "g", "L"])
def test_a_header_that_unpacks_to_a_bomb_takes_no_memory(folder: Path, kind: bytes) -> None:
    archive = pack_claim(folder / "set.tar.gz", kind, 64 * 2**20)
    assert archive.stat().st_size < 2**17
    tracemalloc.start()
    try:
        assert "claims 67108864 bytes" in refuse(archive)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.reliability
def test_many_members_take_no_memory(folder: Path) -> None:
    archive = pack(folder / "set.tar.gz", {f"{number}.jpg": b"" for number in range(5000)})
    tracemalloc.start()
    try:
        extract(archive, folder / "out", lambda path: path if path.name == "0.jpg" else None)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.reliability
@pytest.mark.parametrize("kind", BOTH)
def test_a_name_without_end_is_refused(folder: Path, kind: str) -> None:
    assert "it has a name of 2004 characters" in refuse(pack(folder / kind, {"a/" * 1000 + "name": b""}))
