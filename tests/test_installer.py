"""How a public data set comes to the machine, once and for all."""

import hashlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from file_server import FileServer, answer, break_off, hold, run_server, serve, stall

from diptych.data.catalogue import CATALOGUE, PublicSet
from diptych.data.installer import install_dataset
from diptych.errors import DataError, MachineError

pytestmark = pytest.mark.reliability


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
    monkeypatch.setattr("diptych.data.download.sleep", lambda seconds: None)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with run_server() as server:
        server.add("tiny.zip", ARCHIVE)
        yield server


class Shop:
    """A catalogue with a set of our own, and the folder where it is to lie."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, server: FileServer) -> None:
        self.patch, self.server = patch, server
        self.root = folder / "datasets" / "tiny"
        self.by_hand = folder / "datasets" / "tiny.zip"
        self.add()

    def add(self, **changes: object) -> None:
        known = {"addresses": (f"{self.server.address}/tiny.zip",), "sha256": SHA256, "counts": COUNTS}
        public = PublicSet("tiny", "small, smaller", "nobody", "tiny.zip", **(known | changes))  # type: ignore[arg-type]
        self.patch.setitem(CATALOGUE, "tiny", public)

    def refuse(self) -> str:
        """Return the one line with which the set is not installed, less the advice."""
        before = self.names
        with pytest.raises(DataError) as caught:
            install_dataset("tiny", self.root)
        assert self.names == before
        assert "\n" not in str(caught.value)
        advice = f"; put the right file at {self.by_hand} by hand and run again"
        assert str(caught.value).endswith(advice)
        return str(caught.value).removesuffix(advice)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.parent.glob("*"))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FileServer) -> Shop:
    return Shop(monkeypatch, tmp_path, server)


def count(root: Path) -> dict[str, int]:
    return {folder.name: len(list(folder.iterdir())) for folder in root.iterdir() if folder.is_dir()}


def test_a_set_is_fetched_verified_and_unpacked(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    install_dataset("tiny", shop.root)
    assert count(shop.root) == COUNTS  # and nothing of val
    assert shop.names == ["tiny"]
    address = f"{shop.server.address}/tiny.zip"
    assert capsys.readouterr().err.splitlines() == [
        f"tiny (small, smaller): unknown size from {address} to {shop.root}; data of: nobody",
        f"{shop.root}: 3 in trainA, 2 in trainB, 1 in testA, 1 in testB",
    ]
    assert sorted(path.name for path in shop.root.iterdir() if path.is_file()) == [".diptych-source.json"]
    note = json.loads((shop.root / ".diptych-source.json").read_text())
    assert note.pop("date").endswith("+00:00")
    assert note == {"name": "tiny", "address": address, "sha256": SHA256}


def test_what_is_there_is_left_alone(shop: Shop, tmp_path: Path) -> None:
    own = shop.root / "trainA" / "own.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    install_dataset("tiny", shop.root)
    install_dataset("no such set", shop.root)
    assert count(shop.root) == {"trainA": 1}
    assert shop.server.asked == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: is a file; data need a folder"):
        install_dataset("tiny", tmp_path / "file")


def test_a_link_to_an_empty_folder_is_filled(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "big disk" / "tiny").mkdir(parents=True)
    shop.root.parent.mkdir()
    shop.root.symlink_to(tmp_path / "big disk" / "tiny")
    install_dataset("tiny", shop.root)
    assert shop.root.is_symlink()
    assert count(tmp_path / "big disk" / "tiny") == COUNTS


def test_numbers_that_differ_are_said(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.add(counts=COUNTS | {"trainB": 5})
    install_dataset("tiny", shop.root)
    assert "3 in trainA, 2 in trainB (published: 5), 1 in testA, 1 in testB\n" in capsys.readouterr().err


def test_an_archive_put_there_by_hand_needs_no_network(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.root.parent.mkdir()
    shop.by_hand.write_bytes(ARCHIVE)
    install_dataset("tiny", shop.root)
    assert (count(shop.root), shop.names, shop.server.asked) == (COUNTS, ["tiny", "tiny.zip"], [])
    assert f"using {shop.by_hand}, which is there already" in capsys.readouterr().err
    assert json.loads((shop.root / ".diptych-source.json").read_text())["address"] == "put there by hand"


def test_another_archive_put_there_by_hand_is_refused_and_kept(shop: Shop) -> None:
    shop.root.parent.mkdir()
    shop.by_hand.write_bytes(b"PK another")
    found = hashlib.sha256(b"PK another").hexdigest()
    assert shop.refuse() == f"{shop.by_hand}: its SHA-256 is {found}, not {SHA256} as published"
    shop.add(sha256=None)
    assert shop.refuse().startswith(f"{shop.by_hand} cannot be unpacked: it is neither a zip nor a tar archive")
    assert shop.server.asked == []


def test_a_mirror_comes_first_and_its_absence_does_no_harm(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.server.add("our/copies/tiny.zip", ARCHIVE)
    monkeypatch.setenv("DIPTYCH_MIRROR", f"{shop.server.address}/our/copies/")
    install_dataset("tiny", shop.root)
    monkeypatch.setenv("DIPTYCH_MIRROR", f"{shop.server.address}/nowhere")
    shutil.rmtree(shop.root)
    install_dataset("tiny", shop.root)
    assert shop.server.asked == ["our/copies/tiny.zip", "nowhere/tiny.zip", "tiny.zip"]


def test_no_address_answers(shop: Shop) -> None:
    addresses = tuple(shop.server.add(path, b"", answer(404)) for path in ("one", "two"))
    shop.add(addresses=addresses)
    told = "; ".join(f"{address}: the server answers 404 Not Found" for address in addresses)
    assert shop.refuse() == f"tiny.zip could not be downloaded ({told})"


def test_nothing_remains_of_what_fails(shop: Shop) -> None:
    address = shop.server.add("tiny.zip", ARCHIVE, break_off)
    assert shop.refuse().startswith(f"tiny.zip could not be downloaded ({address}: IncompleteRead")
    shop.server.add("tiny.zip", ARCHIVE[:-500])
    assert "does not match the known hash" in shop.refuse()
    shop.add(sha256=None)
    assert "tiny.zip cannot be unpacked: it is neither a zip nor a tar archive, or not a whole one" in shop.refuse()
    shop.server.add("tiny.zip", pack({"other": 2}))
    assert "there is nothing in it that is wanted" in shop.refuse()


@pytest.mark.parametrize("limit", [100, 10_000], ids=["download", "unpacking"])
def test_a_full_disk_is_the_machine_s_and_leaves_nothing(shop: Shop, limit: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trainA/large.bmp", b"0123456789" * 2000)
    shop.server.files["tiny.zip"] = packed.getvalue()
    shop.add(sha256=None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # the nearest to a full disk that a test can have
    try:
        with pytest.raises(MachineError, match="File too large"):
            install_dataset("tiny", shop.root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert shop.names == []


def test_a_process_that_ends_midway_leaves_no_half_of_a_set(shop: Shop) -> None:
    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
        install_dataset("tiny", shop.root)

    shop.server.add("tiny.zip", ARCHIVE, stall, stall, serve)
    for number, left in ((signal.SIGKILL, [".tiny.lock", ".tiny.unfinished"]), (signal.SIGINT, [])):
        asked = len(shop.server.asked)
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        while len(shop.server.asked) == asked:
            assert process.is_alive()
        os.kill(process.pid or 0, number)
        process.join()
        assert shop.names == left
    install_dataset("tiny", shop.root)
    assert (count(shop.root), shop.names) == (COUNTS, ["tiny"])


def test_whoever_comes_second_waits(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    released, said = threading.Event(), ""
    shop.server.add("tiny.zip", ARCHIVE, hold(released))
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(install_dataset, "tiny", shop.root) for _ in range(3)]
        while said.count("waiting for it") < 2 and not any(job.done() for job in jobs):
            said += capsys.readouterr().err
        released.set()
    assert sorted(job.result() for job in jobs) == [False, False, True]
    assert said.count("waiting for it") == 2
    assert shop.server.asked == ["tiny.zip"]
    assert count(shop.root) == COUNTS


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, shop: Shop) -> None:
    (tmp_path / "datasets").write_text("a file")
    with pytest.raises(MachineError, match=r"datasets: File exists"):
        install_dataset("tiny", shop.root)


AFHQ = {"afhq/train/cat": 3, "afhq/train/dog": 2, "afhq/val/cat": 1, "afhq/val/dog": 1, "afhq/train/wild": 4}


@pytest.mark.parametrize(("layout", "like"), [(COUNTS, "maps"), (AFHQ, "afhq_cat2dog")])
def test_layouts_are_mapped(shop: Shop, layout: dict[str, int], like: str) -> None:
    shop.server.files["tiny.zip"] = pack(layout)
    shop.add(sha256=None, folders=CATALOGUE[like].folders)
    install_dataset("tiny", shop.root)
    assert count(shop.root) == COUNTS


def test_a_set_that_is_fetched_by_hand_says_how(tmp_path: Path) -> None:
    root = tmp_path / "cityscapes"
    with pytest.raises(DataError) as caught:
        install_dataset("cityscapes", root)
    assert str(caught.value).startswith("cityscapes cannot be downloaded from here: its owners hand it out themselves")
    assert "(https://www.cityscapes-dataset.com)" in str(caught.value)
    assert str(caught.value).endswith(f"; what is put into {root}, or packed as {root}.zip, is used")
    assert list(tmp_path.iterdir()) == []
