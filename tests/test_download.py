"""Downloading from servers that break off, lie, stall and change their minds."""

import hashlib
import random
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from file_server import (
    FileServer,
    answer,
    break_off,
    break_unnamed,
    linger,
    promise,
    redirect,
    run_server,
    serve,
    serve_any_version,
    serve_in_chunks,
    serve_unnamed,
    serve_whole,
    stall,
)

from diptych.data.download import Downloaded, download
from diptych.errors import DataError, MachineError

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with run_server() as server:
        yield server


class Fetcher:
    """Downloads to one file and remembers the pauses and the lines."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "set.zip"
        self.part = folder / "set.zip.part"
        self.pauses: list[float] = []
        self.lines: list[str] = []

    def fetch(self, *addresses: str, **changes: Any) -> Downloaded:
        manner = {"sleep": self.pauses.append, "say": self.lines.append, "timeout": 5.0, "attempts": 2}
        return download(addresses, self.target, **(manner | changes))

    def refuse(self, *addresses: str, **changes: Any) -> str:
        """Return the one line with which the download is given up."""
        with pytest.raises(DataError) as caught:
            self.fetch(*addresses, **changes)
        line = str(caught.value)
        assert line.startswith("set.zip could not be downloaded (")
        assert line.endswith(f"); put the file at {self.target} by hand and run again")
        assert "\n" not in line
        assert not self.target.exists()
        return line.removeprefix("set.zip could not be downloaded (").split("); put the file")[0]


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path)


def test_a_file_arrives_whole(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT)
    steps: list[tuple[int, int | None]] = []
    digest = hashlib.sha256(CONTENT).hexdigest()
    found = fetcher.fetch(address, sha256=digest, report=lambda *step: steps.append(step))
    assert found == Downloaded(address, digest, 300_000)
    assert fetcher.target.read_bytes() == CONTENT
    assert [path.name for path in fetcher.target.parent.iterdir()] == ["set.zip"]
    assert steps == sorted(steps)
    assert steps[-1] == (300_000, 300_000)
    assert server.asked[0][1]["User-Agent"] == "diptych"
    assert fetcher.pauses == []


@pytest.mark.parametrize("action", [serve_in_chunks, linger, serve_unnamed], ids=lambda action: action.__name__)
def test_odd_but_honest_servers(server: FileServer, fetcher: Fetcher, action: Any) -> None:
    fetcher.fetch(server.add("set.zip", CONTENT, action), timeout=0.15)
    assert fetcher.target.read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_broken_connection_is_taken_up_again(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT, break_off(100_000), break_off(250_000), serve)
    fetcher.fetch(address)
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=250000-"]
    assert fetcher.pauses == [1.0, 1.0]  # there were new bytes each time
    assert fetcher.lines[0] == f"{address}: the connection ended after 100000 of 300000 bytes; trying again"


def test_the_next_run_goes_on_where_the_last_one_stopped(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT, break_off(100_000), serve)
    reason = fetcher.refuse(address, attempts=1)
    assert reason == f"{address}: the connection ended after 100000 of 300000 bytes (tried 1 times)"
    assert fetcher.part.read_bytes() == CONTENT[:100_000]
    mirror = server.add("mirror/set.zip", CONTENT)
    assert fetcher.fetch(mirror, address).address == address  # because part of it is here already
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_an_interruption_keeps_what_has_arrived(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT)

    def interrupt(received: int, total: int | None) -> None:
        if received > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetcher.fetch(address, report=interrupt)
    kept = fetcher.part.read_bytes()
    assert len(kept) > 1000
    assert CONTENT.startswith(kept)
    fetcher.fetch(address)
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(kept)}-"]


def test_a_note_that_cannot_be_read_is_no_note(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT, break_off(100_000), serve)
    fetcher.refuse(address, attempts=1)
    Path(f"{fetcher.part}.json").write_text("{")
    fetcher.fetch(address)
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, None]


@pytest.mark.parametrize("action", [serve, serve_any_version], ids=lambda action: action.__name__)
def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, fetcher: Fetcher, action: Any) -> None:
    address = server.add("set.zip", CONTENT, break_off(100_000), action)
    fetcher.refuse(address, attempts=1)
    server.files["set.zip"] = OTHER
    fetcher.fetch(address)
    assert fetcher.target.read_bytes() == OTHER


def test_a_server_without_ranges_starts_again(server: FileServer, fetcher: Fetcher) -> None:
    fetcher.fetch(server.add("set.zip", CONTENT, break_off(100_000), serve_whole))
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_version_without_a_name_is_not_continued(server: FileServer, fetcher: Fetcher) -> None:
    fetcher.fetch(server.add("set.zip", CONTENT, break_unnamed, serve))
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_range_that_is_refused_starts_again(server: FileServer, fetcher: Fetcher) -> None:
    fetcher.fetch(server.add("set.zip", CONTENT, break_off(100_000), answer(416), serve), attempts=3)
    assert fetcher.target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", None]


def test_too_little_and_too_much_are_seen(server: FileServer, fetcher: Fetcher) -> None:
    little = server.add("little", CONTENT, promise(300_001))
    much = server.add("much", CONTENT, promise(299_999))
    reason = fetcher.refuse(little, much)
    assert f"{little}: the connection ended after 300000 of 300001 bytes (tried 2 times)" in reason
    assert f"{much}: it sends more than the 299999 bytes that it promised" in reason
    assert not fetcher.part.exists()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"\n <!DOCTYPE html><html><title>Sign in</title></html>", "a web page"),
        (b"\xef\xbb\xbf<HTML>", "a web page"),
        (b'{"error": "quota exceeded"}', "text"),
        ("Fehler: nicht verfügbar\n".encode(), "text"),
    ],
)
def test_a_page_is_no_archive(server: FileServer, fetcher: Fetcher, body: bytes, what: str) -> None:
    address = server.add("set.zip", body)
    assert fetcher.refuse(address) == f"{address}: the address serves {what}, not the file"
    assert not fetcher.part.exists()
    assert fetcher.pauses == []


def test_the_next_address_is_tried(server: FileServer, fetcher: Fetcher) -> None:
    gone = server.add("gone", b"", answer(404))
    address = server.add("set.zip", CONTENT)
    assert fetcher.fetch(gone, address).address == address
    assert fetcher.lines == [f"{gone}: the server answers 404 Not Found"]
    assert [path for path, _ in server.asked] == ["gone", "set.zip"]  # a 404 is not asked for twice


def test_a_busy_server_is_asked_again(server: FileServer, fetcher: Fetcher) -> None:
    fetcher.fetch(server.add("set.zip", CONTENT, answer(500), answer(503), serve), attempts=4)
    assert fetcher.target.read_bytes() == CONTENT
    assert fetcher.pauses == [1.0, 2.0]


def test_pauses_grow_and_end(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT, answer(503))
    assert (
        fetcher.refuse(address, attempts=8) == f"{address}: the server answers 503 Service Unavailable (tried 8 times)"
    )
    assert fetcher.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/set.zip"])
def test_only_http_is_followed(server: FileServer, fetcher: Fetcher, location: str) -> None:
    reason = fetcher.refuse(server.add("set.zip", b"", redirect(location)))
    assert location in reason
    assert re.search("which is not followed|is neither http nor https", reason)
    assert fetcher.refuse(location) == f"{location}: {location} is neither http nor https"


def test_redirects_are_followed_but_not_for_ever(server: FileServer, fetcher: Fetcher) -> None:
    there = server.add("there", CONTENT)
    assert "redirects to" in fetcher.refuse(server.add("loop", b"", redirect(f"{server.address}/loop")))
    fetcher.fetch(server.add("set.zip", b"", redirect(there)))
    assert fetcher.target.read_bytes() == CONTENT


def test_silence_is_not_waited_for(server: FileServer, fetcher: Fetcher) -> None:
    address = server.add("set.zip", CONTENT, stall)
    assert fetcher.refuse(address, timeout=0.05) == f"{address}: the server does not answer in time (tried 2 times)"


def test_no_connection_is_said_in_one_line(fetcher: Fetcher) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/set.zip"
        assert fetcher.refuse(address) == f"{address}: Connection refused (tried 2 times)"


def test_no_network_is_said_at_once(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    addresses = ("https://data.example/set.zip", "http://data.example/set.zip")
    reason = fetcher.refuse(*addresses)
    assert reason == "; ".join(f"{address}: the host is not found; is there a network?" for address in addresses)
    assert fetcher.pauses == []


def test_nonsense_is_no_address(fetcher: Fetcher) -> None:
    assert "it is not an address" in fetcher.refuse("http://127.0.0.1:port/set.zip")
    assert fetcher.refuse() == "no address is known for it"


def test_another_hash_is_another_file(server: FileServer, fetcher: Fetcher) -> None:
    wrong, right = server.add("wrong", OTHER), server.add("right", CONTENT)
    expected, found = (hashlib.sha256(content).hexdigest() for content in (CONTENT, OTHER))
    reason = fetcher.refuse(wrong, sha256=expected)
    assert reason == f"{wrong}: what it serves has the SHA-256 {found}, not {expected}"
    assert not fetcher.part.exists()
    assert fetcher.fetch(wrong, right, sha256=expected).address == right


def test_size_has_a_limit(server: FileServer, fetcher: Fetcher) -> None:
    for action in (serve, serve_in_chunks):
        reason = fetcher.refuse(server.add("set.zip", CONTENT, action), limit=200_000)
        assert reason.endswith("it is larger than the 200000 bytes that are allowed")
    assert fetcher.refuse(server.add("set.zip", b"")).endswith("it serves an empty file")


def test_a_full_disk_is_seen_beforehand(server: FileServer, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(MachineError, match=r": 300000 bytes are to come and 1000 are free; make room"):
        fetcher.fetch(server.add("set.zip", CONTENT))
    assert not fetcher.part.exists()


def test_a_disk_that_fills_up_keeps_what_has_arrived(server: FileServer, fetcher: Fetcher) -> None:
    def fail(received: int, total: int | None) -> None:
        raise OSError(28, "No space left on device")

    address = server.add("set.zip", CONTENT)
    with pytest.raises(MachineError, match=r"set\.zip\.part: No space left on device; what has arrived is kept"):
        fetcher.fetch(address, report=fail)
    assert CONTENT.startswith(fetcher.part.read_bytes())
    fetcher.fetch(address)
    assert server.ranges[1] is not None
