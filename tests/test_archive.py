"""Unpacking: honest archives whole, hostile and broken ones not at all."""

import gzip
import io
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest

from diptych.data.archive import Limits, extract, growing
from diptych.errors import DataError, MachineError

FILES = {
    "set/trainA/a.jpg": b"\xff\xd8\xff first",
    "set/trainB/deep/b.png": random.Random(0).randbytes(1_100_000),
    "set/testA/é.jpg": b"",
}
KINDS = ["set.zip", "set.tar", "set.tar.gz", "set.tar.bz2", "set.tar.xz"]


def pack(path: Path, files: dict[str, bytes], **changes: Any) -> Path:
    """Write a zip or tar archive whose members carry the changed attributes."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                for key, value in changes.items():
                    setattr(info, key, value)
                archive.writestr(info, content)
        return path
    compression: Any = {"set.tar": ""}.get(path.name, path.suffix.removeprefix("."))
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(archive: Path, limits: Limits | None = None) -> str:
    """Return the one line with which the archive is refused, having seen that it left nothing behind."""
    around = archive.parent.parent
    before = sorted(around.rglob("*"))
    with pytest.raises(DataError) as caught:
        extract(archive, archive.parent / "out", limits)
    assert sorted(around.rglob("*")) == before
    line = str(caught.value)
    assert line.startswith(f"{archive}: ")
    assert "\n" not in line
    return line.removeprefix(f"{archive}: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "inner"
    inner.mkdir()
    return inner


@pytest.mark.parametrize("kind", KINDS)
def test_archives_are_unpacked(folder: Path, kind: str) -> None:
    steps: list[int] = []
    extract(pack(folder / kind, FILES), folder / "out", report=lambda written, total: steps.append(written))
    assert read_all(folder / "out") == FILES
    assert sorted(path.name for path in folder.iterdir()) == ["out", kind]
    assert steps[-1] == sum(map(len, FILES.values()))


def test_an_empty_folder_makes_way_and_a_full_one_does_not(folder: Path) -> None:
    archive = pack(folder / "set.zip", FILES)
    (folder / "out").mkdir()
    extract(archive, folder / "out")
    with pytest.raises(DataError, match="out: there is something in it already; empty it"):
        extract(archive, folder / "out")
    assert read_all(folder / "out") == FILES


def test_members_go_where_they_are_placed(folder: Path) -> None:
    def place(path: PurePosixPath) -> PurePosixPath | None:
        return PurePosixPath("a", path.name) if "trainA" in path.parts else None

    extract(pack(folder / "set.tar", FILES), folder / "out", place=place)
    assert read_all(folder / "out") == {"a/a.jpg": FILES["set/trainA/a.jpg"]}
    with pytest.raises(DataError, match=r"set\.tar: there is nothing in it that is wanted"):
        extract(folder / "set.tar", folder / "none", place=lambda _: None)
    assert not (folder / "none").exists()


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_junk_is_left_out_and_folders_are_made(folder: Path, kind: str) -> None:
    junk = dict.fromkeys(("__MACOSX/trainA/._a.jpg", "trainA/.DS_Store", "trainA/._a.jpg", "Thumbs.db"), b"junk")
    archive = pack(folder / kind, junk | {"trainA\\b.jpg": b"from Windows", "./trainA/a.jpg": b"kept"})
    extract(archive, folder / "out")
    assert read_all(folder / "out") == {"trainA/a.jpg": b"kept", "trainA/b.jpg": b"from Windows"}


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_modes_are_plain(folder: Path, kind: str) -> None:
    mode = stat.S_ISUID | 0o777
    changes = {"external_attr": (stat.S_IFREG | mode) << 16} if kind == "set.zip" else {"mode": mode}
    extract(pack(folder / kind, {"trainA/run": b"#!"}, **changes), folder / "out")
    (folder / "plain").write_bytes(b"")
    made = (folder / "out/trainA/run").stat().st_mode
    assert made == (folder / "plain").stat().st_mode
    assert not made & (stat.S_ISUID | stat.S_IXUSR)


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
@pytest.mark.parametrize(
    "name", ["/abs.jpg", "../up.jpg", "a/../../up.jpg", "C:/x.jpg", "..\\up.jpg", "\\\\host\\x.jpg"]
)
def test_paths_stay_inside(folder: Path, kind: str, name: str) -> None:
    archive = pack(folder / kind, {"a.jpg": b"first", name: b"outside"})
    assert refuse(archive) == f"{name!r} lies outside of the folder; it is not unpacked"


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_names_are_sane(folder: Path, kind: str) -> None:
    assert "control characters in its name" in refuse(pack(folder / kind, {"a\nb.jpg": b"x"}))
    assert "is a path of more than 100 characters" in refuse(pack(folder / kind, {"x/" * 60: b"x"}), Limits(path=100))


def test_a_symbolic_link_in_a_zip(folder: Path) -> None:
    archive = pack(folder / "set.zip", {"trainA": b"/etc"}, external_attr=(stat.S_IFLNK | 0o777) << 16)
    assert refuse(archive) == "'trainA' is a symbolic link, not a plain file; it is not unpacked"


def test_a_device_in_a_zip(folder: Path) -> None:
    archive = pack(folder / "set.zip", {"trainA/a.jpg": b""}, external_attr=stat.S_IFCHR << 16)
    assert refuse(archive) == "'trainA/a.jpg' is a device, not a plain file; it is not unpacked"


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device or something special"),
        (tarfile.FIFOTYPE, "a device or something special"),
    ],
)
def test_special_members_of_a_tar(folder: Path, kind: bytes, what: str) -> None:
    archive = pack(folder / "set.tar", {"trainA/a.jpg": b""}, type=kind, linkname="/etc/passwd")
    assert refuse(archive) == f"'trainA/a.jpg' is {what}, not a plain file; it is not unpacked"


def test_a_link_is_not_written_through(folder: Path) -> None:
    (folder.parent / "victim").mkdir()
    with tarfile.open(folder / "set.tar", "w") as tar:
        link = tarfile.TarInfo("trainA")
        link.type, link.linkname = tarfile.SYMTYPE, str(folder.parent / "victim")
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("trainA/a.jpg"), io.BytesIO())
    assert "is a symbolic link" in refuse(folder / "set.tar")


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_are_stopped(folder: Path, kind: str) -> None:
    archive = pack(folder / kind, {f"{index}.bmp": bytes(1_000_000) for index in range(5)})
    limits = Limits(total=2_500_000, ratio=10**6)
    assert refuse(archive, limits) == "unpacks to more than 2500000 bytes; it is not unpacked"
    if kind != "set.tar":
        assert refuse(archive) == "unpacks to more than 200 times its size; it is not unpacked"
    limits = Limits(members=4, ratio=10**6)
    assert refuse(archive, limits) == "more than 4 files are in it; it is not unpacked"


def rewrite(archive: Path, change: Callable[[bytes], bytes]) -> Path:
    archive.write_bytes(change(archive.read_bytes()))
    return archive


def announce(size: int) -> Callable[[bytes], bytes]:
    """Return a change of the unpacked size that a zip's two headers of its only member announce."""

    def change(content: bytes) -> bytes:
        central = content.index(b"PK\x01\x02")
        told = struct.pack("<I", size)
        content = content[: central + 24] + told + content[central + 28 :]
        return content[:22] + told + content[26:]

    return change


def test_headers_are_not_believed(folder: Path) -> None:
    archive = pack(folder / "set.zip", {"a.bmp": bytes(3_000_000)})
    assert refuse(rewrite(archive, announce(10))).startswith("damaged or incomplete (Bad CRC-32")
    assert "unpacks to more than 200 times" in refuse(rewrite(archive, announce(3_000_001)))


def test_a_tar_header_cannot_fill_the_memory(folder: Path) -> None:
    header = tarfile.TarInfo("name")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    (folder / "set.tar.gz").write_bytes(gzip.compress(header.tobuf() + bytes(2**16)))
    assert refuse(folder / "set.tar.gz") == f"damaged or incomplete (a header claims {2**32} bytes)"


def test_sparse_files_are_refused(folder: Path) -> None:
    archive = pack(folder / "set.tar", {"a.bmp": b"x" * 512}, type=tarfile.GNUTYPE_SPARSE)
    assert "a device or something special" in refuse(archive)


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
@pytest.mark.parametrize(("one", "other"), [("a.jpg", "a.jpg"), ("é.jpg", "e\u0301.JPG"), ("x/a.jpg", "x/A.jpg")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_member_overwrites_another(folder: Path, kind: str, one: str, other: str) -> None:
    archive = folder / kind
    if kind == "set.zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr(one, b"1")
            packed.writestr(other, b"2")
    else:
        with tarfile.open(archive, "w") as tar:
            for name in (one, other):
                tar.addfile(tarfile.TarInfo(name))
    assert refuse(archive) == f"{other!r} is in it twice, perhaps with other capitals"


@pytest.mark.parametrize("names", [("a", "a/b.jpg"), ("a/b.jpg", "a")])
def test_a_name_is_a_file_or_a_folder(folder: Path, names: tuple[str, str]) -> None:
    archive = pack(folder / "set.zip", dict.fromkeys(names, b"x"))
    assert refuse(archive) == f"{names[1]!r} is both a file and a folder, or in it twice"


def test_encryption_is_named(folder: Path) -> None:
    archive = pack(folder / "set.zip", {"a.jpg": b"secret"})

    def encrypt(content: bytes) -> bytes:
        central = content.index(b"PK\x01\x02")
        return content[:6] + b"\x01" + content[7 : central + 8] + b"\x01" + content[central + 9 :]

    assert refuse(rewrite(archive, encrypt)) == "'a.jpg' is encrypted; it is not unpacked"


def test_a_wrong_checksum_is_seen(folder: Path) -> None:
    content = random.Random(0).randbytes(1000)
    with zipfile.ZipFile(folder / "set.zip", "w") as packed:
        packed.writestr("a.jpg", content)
    spoil = lambda packed: packed.replace(content[500:510], b"0123456789")  # noqa: E731
    assert refuse(rewrite(folder / "set.zip", spoil)) == "damaged or incomplete (Bad CRC-32 for file 'a.jpg')"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_half_an_archive_is_none(folder: Path, kind: str, kept: float) -> None:
    archive = rewrite(pack(folder / kind, FILES), lambda content: content[: int(kept * len(content))])
    assert refuse(archive).startswith("damaged or incomplete (")


def test_a_tar_that_ends_between_members_is_incomplete(folder: Path) -> None:
    archive = rewrite(pack(folder / "set.tar", {"a": b"1", "b": b"2"}), lambda content: content[:1024])
    assert refuse(archive) == "damaged or incomplete (its end is missing)"


@pytest.mark.parametrize("content", [b"", b"no archive", bytes(1024), b"\x1f\x8b" + bytes(600), b"PK\x03\x04 and more"])
def test_other_files_are_no_archives(folder: Path, content: bytes) -> None:
    (folder / "set.zip").write_bytes(content)
    assert refuse(folder / "set.zip").startswith(("neither a zip nor a tar archive", "damaged or incomplete ("))


def test_a_lack_of_space_is_said_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(folder / "set.zip", FILES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(MachineError, match=r"1100009 bytes are to be unpacked and 1000 are free"):
        extract(archive, folder / "out")
    assert [path.name for path in folder.iterdir()] == ["set.zip"]


def test_a_folder_appears_whole_or_not_at_all(folder: Path) -> None:
    for error, seen in (
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), MachineError),
    ):
        with pytest.raises(seen), growing(folder / "out") as fresh:
            (fresh / "half").write_bytes(b"x")
            raise error
        assert list(folder.iterdir()) == []
    (folder / ".out.unfinished").mkdir()  # as a killed process leaves it
    (folder / ".out.unfinished/old").write_bytes(b"x")
    with growing(folder / "out") as fresh:
        (fresh / "new").write_bytes(b"x")
    assert read_all(folder / "out") == {"new": b"x"}
    assert [path.name for path in folder.iterdir()] == ["out"]
