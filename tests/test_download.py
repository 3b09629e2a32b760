"""Downloading from servers that break off, refuse, stall and serve something else."""

import hashlib
import random
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Action, FileServer, answer, break_off, run_server, serve, serve_in_chunks, stall

from diptych.data.download import download
from diptych.errors import DataError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with run_server() as server:
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let no time pass between two attempts, but remember how much it would have been."""
    pauses: list[float] = []
    monkeypatch.setattr("diptych.data.download.sleep", pauses.append)
    return pauses


def refuse(folder: Path, *urls: str, sha256: str | None = None) -> str:
    """Return the one line with which the download is given up, having seen that it left nothing behind."""
    with pytest.raises(DataError) as caught:
        download(urls, folder / "set.zip", sha256)
    assert list(folder.iterdir()) == []
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("set.zip could not be downloaded (")
    return line.removeprefix("set.zip could not be downloaded (").removesuffix(")")


@pytest.mark.parametrize("action", [serve, serve_in_chunks], ids=lambda action: action.__name__)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_file_arrives_whole(
    action: Action,
    terminal: bool,
    server: FileServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    url = server.add("set.zip", CONTENT, action)
    assert download([url], tmp_path / "set.zip", SHA256) == url
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]
    said = capsys.readouterr().err
    assert ("300k/300k" in said) == (terminal and action is serve)
    assert terminal or said == ""


@pytest.mark.parametrize("status", [404, 403, 410])
def test_the_next_url_is_tried(status: int, server: FileServer, tmp_path: Path, pauses: list[float]) -> None:
    gone, url = server.add("gone", b"", answer(status)), server.add("set.zip", CONTENT)
    assert download([gone, url], tmp_path / "set.zip", SHA256) == url
    assert server.asked == ["gone", "set.zip"]  # what is gone is not asked for twice
    assert pauses == []


@pytest.mark.parametrize("trouble", [answer(503), answer(429), break_off])
def test_passing_trouble_is_waited_out(
    trouble: Action, server: FileServer, tmp_path: Path, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.add("set.zip", CONTENT, trouble, trouble, serve)
    download([url], tmp_path / "set.zip", SHA256)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    assert pauses == [1.0, 2.0]
    assert capsys.readouterr().err.count("; trying again\n") == 2


def test_lasting_trouble_is_not(server: FileServer, tmp_path: Path, pauses: list[float]) -> None:
    url = server.add("set.zip", CONTENT, answer(500))
    assert refuse(tmp_path, url) == f"{url}: the server answers 500 Internal Server Error"
    assert (len(server.asked), pauses) == (4, [1.0, 2.0, 4.0])
    broken = server.add("broken", CONTENT, break_off)
    assert refuse(tmp_path, broken).startswith(f"{broken}: IncompleteRead(150000 bytes read, 150000 more expected")


def test_silence_is_not_waited_for(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.data.download._TIMEOUT", 0.05)
    url = server.add("set.zip", CONTENT, stall)
    assert refuse(tmp_path, url) == f"{url}: timed out"
    assert len(server.asked) == 4


def test_a_closed_port_is_named(tmp_path: Path, pauses: list[float]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/set.zip"
        assert refuse(tmp_path, url) == f"{url}: Connection refused"
    assert len(pauses) == 3


def test_no_network_is_said_at_once(tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    urls = ("https://data.example/set.zip", "http://data.example/set.zip")
    assert refuse(tmp_path, *urls) == "; ".join(f"{url}: the host is not found; is there a network?" for url in urls)
    assert pauses == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"\n <!DOCTYPE html><html><title>Sign in</title></html>", "it serves a web page, not the file"),
        (b"\xef\xbb\xbf<HTML>", "it serves a web page, not the file"),
        (b"", "it serves an empty file"),
        (b"PK another", "SHA256 hash of downloaded file (set.zip) does not match the known hash: expected "),
    ],
)
def test_something_else_is_refused(
    body: bytes, what: str, server: FileServer, tmp_path: Path, pauses: list[float]
) -> None:
    url = server.add("wrong", body)
    assert refuse(tmp_path, url, sha256=SHA256).startswith(f"{url}: {what}")
    assert pauses == []
    right = server.add("right", CONTENT)
    assert download([url, right], tmp_path / "set.zip", SHA256) == right


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/set.zip", "http://127.0.0.1:port/set.zip"])
def test_only_http_is_followed(url: str, server: FileServer, tmp_path: Path) -> None:
    assert refuse(tmp_path, url).startswith(f"{url}: ")
    redirecting = server.add("set.zip", b"", answer(302, Location=url))
    assert refuse(tmp_path, redirecting).startswith(f"{redirecting}: ")


def test_redirects_are_followed_but_not_for_ever(server: FileServer, tmp_path: Path) -> None:
    loop = server.add("loop", b"", answer(302, Location="/loop"))
    assert refuse(tmp_path, loop) == f"{loop}: Exceeded 30 redirects."
    there = server.add("there", CONTENT)
    download([server.add("set.zip", b"", answer(302, Location=there))], tmp_path / "set.zip", SHA256)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_disk_that_fills_up_ends_it_at_once(server: FileServer, tmp_path: Path) -> None:
    urls = [server.add("set.zip", CONTENT), server.add("mirror", CONTENT)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the nearest to a full disk that a test can have
    try:
        with pytest.raises(OSError, match="File too large"):
            download(urls, tmp_path / "set.zip", SHA256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert server.asked == ["set.zip"]  # another address would fill it too
    assert list(tmp_path.iterdir()) == []
