"""How a public data set comes to the machine, once and for all."""

import functools
import hashlib
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, answer, break_off, hold, run_server, serve

from diptych.data.catalogue import CATALOGUE, FOLDERS, PublicSet
from diptych.data.download import download
from diptych.data.obtain import obtain
from diptych.errors import DataError, MachineError


def pack(layout: dict[str, int]) -> bytes:
    """Return a zip archive with so many small images in each folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for folder, count in layout.items():
            for index in range(count):
                archive.writestr(f"{folder}/{index}.jpg", b"\xff\xd8\xff" + f"{folder} {index}".encode() * 100)
    return packed.getvalue()


LAYOUT = {"tiny/trainA": 3, "tiny/trainB": 2, "tiny/testA": 1, "tiny/testB": 1, "tiny/val": 4}
ARCHIVE = pack(LAYOUT)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
COUNTS = {"trainA": 3, "trainB": 2, "testA": 1, "testB": 1}


@pytest.fixture(autouse=True)
def quick_and_local(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("DIPTYCH_MIRROR", raising=False)
    monkeypatch.setattr("diptych.data.obtain.download", functools.partial(download, sleep=lambda seconds: None))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with run_server() as server:
        server.add("tiny.zip", ARCHIVE)
        yield server


class Shop:
    """A catalogue with sets of our own, and the folder where they are to lie."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, server: FileServer) -> None:
        self.patch, self.server = patch, server
        self.root = folder / "datasets" / "tiny"

    def add(self, **changes: object) -> None:
        known = {"addresses": (f"{self.server.address}/tiny.zip",), "sha256": SHA256, "counts": COUNTS}
        public = PublicSet("tiny", "small, smaller", "nobody", "tiny.zip", **(known | changes))  # type: ignore[arg-type]
        self.patch.setitem(CATALOGUE, "tiny", public)

    def refuse(self) -> str:
        """Return the one line with which the set is not obtained."""
        with pytest.raises(DataError) as caught:
            obtain("tiny", self.root)
        assert not self.root.exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.parent.iterdir() if path.suffix != ".lock")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FileServer) -> Shop:
    shop = Shop(monkeypatch, tmp_path, server)
    shop.add()
    return shop


def count(root: Path) -> dict[str, int]:
    return {folder.name: len(list(folder.iterdir())) for folder in root.iterdir() if folder.is_dir()}


def test_a_set_is_fetched_verified_and_unpacked(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    obtain("tiny", shop.root)
    assert count(shop.root) == COUNTS  # and nothing of val
    assert shop.names == ["tiny"]
    said = capsys.readouterr().err
    address = f"{shop.server.address}/tiny.zip"
    assert f"tiny (small, smaller): unknown size from {address} to {shop.root}; data of: nobody" in said
    assert f"{shop.root}: 3 in trainA, 2 in trainB, 1 in testA, 1 in testB\n" in said
    note = json.loads((shop.root / ".diptych-source.json").read_text())
    assert note.pop("date").endswith("+00:00")
    assert note == {"name": "tiny", "address": address, "sha256": SHA256, "bytes": len(ARCHIVE)}


def test_what_is_there_is_left_alone(shop: Shop, tmp_path: Path) -> None:
    write = shop.root / "trainA" / "own.jpg"
    write.parent.mkdir(parents=True)
    write.write_bytes(b"mine")
    obtain("tiny", shop.root)
    obtain("no such set", shop.root)
    assert count(shop.root) == {"trainA": 1}
    assert shop.server.asked == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: is a file; data need a folder"):
        obtain("tiny", tmp_path / "file")


def test_a_link_to_an_empty_folder_is_filled(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "big disk" / "tiny").mkdir(parents=True)
    shop.root.parent.mkdir()
    shop.root.symlink_to(tmp_path / "big disk" / "tiny")
    obtain("tiny", shop.root)
    assert shop.root.is_symlink()
    assert count(tmp_path / "big disk" / "tiny") == COUNTS


def test_numbers_that_differ_are_said(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.add(counts=COUNTS | {"trainB": 5, "testA": 2})
    obtain("tiny", shop.root)
    said = capsys.readouterr().err
    assert "1 in testB; but 5 were expected in trainB, 2 were expected in testA\n" in said


def test_an_archive_put_there_by_hand_needs_no_network(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.root.parent.mkdir()
    by_hand = shop.root.parent / "tiny.zip"
    by_hand.write_bytes(ARCHIVE)
    obtain("tiny", shop.root)
    assert count(shop.root) == COUNTS
    assert by_hand.exists()
    assert shop.server.asked == []
    assert f"using {by_hand}, which is there already" in capsys.readouterr().err
    assert json.loads((shop.root / ".diptych-source.json").read_text())["address"] == "put there by hand"


def test_another_archive_put_there_by_hand_is_refused(shop: Shop) -> None:
    shop.root.parent.mkdir()
    (shop.root.parent / "tiny.zip").write_bytes(b"PK another")
    found = hashlib.sha256(b"PK another").hexdigest()
    assert shop.refuse() == (
        f"{shop.root.parent / 'tiny.zip'}: its SHA-256 is {found}, not {SHA256} as published; "
        "delete it, and run again to fetch it anew"
    )
    assert shop.names == ["tiny.zip"]


def test_a_mirror_comes_first_and_its_absence_does_no_harm(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.server.add("our/copies/tiny.zip", ARCHIVE)
    monkeypatch.setenv("DIPTYCH_MIRROR", f"{shop.server.address}/our/copies/")
    obtain("tiny", shop.root)
    monkeypatch.setenv("DIPTYCH_MIRROR", f"{shop.server.address}/nowhere")
    shutil.rmtree(shop.root)
    obtain("tiny", shop.root)
    assert [path for path, _ in shop.server.asked] == ["our/copies/tiny.zip", "nowhere/tiny.zip", "tiny.zip"]


def test_no_address_answers(shop: Shop) -> None:
    addresses = tuple(shop.server.add(path, b"", answer(404)) for path in ("one", "two"))
    shop.add(addresses=addresses)
    told = "; ".join(f"{address}: the server answers 404 Not Found" for address in addresses)
    there = shop.root.parent / "tiny.zip"
    assert shop.refuse() == f"tiny.zip could not be downloaded ({told}); put the file at {there} by hand and run again"


def test_a_broken_download_goes_on_in_the_next_run(shop: Shop) -> None:
    shop.server.add("tiny.zip", ARCHIVE, *[break_off(1000)] * 5, serve)
    assert "the connection ended after" in shop.refuse()
    assert shop.names == ["tiny.zip.part", "tiny.zip.part.json"]
    obtain("tiny", shop.root)
    assert shop.names == ["tiny"]
    assert shop.server.ranges[-1] == "bytes=1000-"


def test_a_hash_is_remembered(shop: Shop) -> None:
    shop.add(sha256=None)
    obtain("tiny", shop.root)
    hashes = shop.root.parent / ".diptych-hashes.json"
    assert json.loads(hashes.read_text()) == {"tiny.zip": SHA256}
    shutil.rmtree(shop.root)
    obtain("tiny", shop.root)
    shutil.rmtree(shop.root)
    changed = pack(LAYOUT | {"tiny/trainA": 1})
    shop.server.files["tiny.zip"] = changed
    archive, found = shop.root.parent / "tiny.zip", hashlib.sha256(changed).hexdigest()
    for _ in range(2):
        assert shop.refuse() == (
            f"{archive}: its SHA-256 is {found}, and last time it was {SHA256}; "
            f"delete {hashes} to accept the new file, or the new file to fetch it again"
        )
    hashes.unlink()
    obtain("tiny", shop.root)
    assert count(shop.root)["trainA"] == 1
    hashes.write_text("{")
    shutil.rmtree(shop.root)
    assert f"{hashes}: cannot be read" in shop.refuse()


def test_a_damaged_archive_is_not_kept(shop: Shop) -> None:
    shop.add(sha256=None)
    shop.server.files["tiny.zip"] = ARCHIVE[:-500]
    line = shop.refuse()
    assert f"{shop.root.parent / 'tiny.zip'}: damaged or incomplete" in line
    assert line.endswith("; it has been deleted, run again to fetch it anew")
    assert shop.names == []  # nor is its hash extra_state
    shop.server.files["tiny.zip"] = pack({"other": 2})
    assert "there is nothing in it that is wanted" in shop.refuse()
    (shop.root.parent / "tiny.zip").write_bytes(b"PK nothing")
    assert shop.refuse().endswith("; put another there, or delete it and run again")
    assert shop.names == ["tiny.zip"]


def test_whoever_comes_second_waits(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    released = threading.Event()
    shop.server.add("tiny.zip", ARCHIVE, hold(released))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            obtain("tiny", shop.root)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    said = ""
    while said.count("waiting for it") < 2:
        said += capsys.readouterr().err
        assert not failures
    released.set()
    for worker in workers:
        worker.join()
    assert failures == []
    assert len(shop.server.asked) == 1
    assert count(shop.root) == COUNTS


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, shop: Shop) -> None:
    (tmp_path / "datasets").write_text("a file")
    with pytest.raises(MachineError, match=r"datasets: File exists"):
        obtain("tiny", shop.root)


@pytest.mark.parametrize(
    ("layout", "folders"),
    [
        ({"trainA": 3, "trainB": 2, "testA": 1, "testB": 1}, {folder: folder for folder in FOLDERS}),
        ({"a/b/trainA": 3, "a/b/trainB": 2, "a/b/testA": 1, "a/b/testB": 1}, {folder: folder for folder in FOLDERS}),
        (
            {"afhq/train/cat": 3, "afhq/train/dog": 2, "afhq/val/cat": 1, "afhq/val/dog": 1, "afhq/train/wild": 4},
            CATALOGUE["afhq_cat2dog"].folders,
        ),
    ],
    ids=["flat", "deep", "afhq"],
)
def test_layouts_are_mapped(shop: Shop, layout: dict[str, int], folders: dict[str, str]) -> None:
    shop.server.files["tiny.zip"] = pack(layout)
    shop.add(sha256=None, folders=folders)
    obtain("tiny", shop.root)
    assert count(shop.root) == COUNTS


def test_a_set_that_is_fetched_by_hand_says_how(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cityscapes"
    with pytest.raises(DataError) as caught:
        obtain("cityscapes", root)
    assert str(caught.value).startswith("cityscapes cannot be downloaded from here: its owners hand it out themselves")
    assert "(https://www.cityscapes-dataset.com)" in str(caught.value)
    assert str(caught.value).endswith(f"; what is put into {root}, or packed as {root}.zip, is used")
    server.add("cityscapes.zip", pack({"cityscapes/trainA": 1, "cityscapes/trainB": 1}))
    monkeypatch.setenv("DIPTYCH_MIRROR", server.address)
    obtain("cityscapes", root)
    assert count(root) == {"trainA": 1, "trainB": 1}
