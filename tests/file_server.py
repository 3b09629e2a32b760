"""A web server on this machine that serves files well, or in one of the ways in which servers go wrong."""

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Action = Callable[["Handler", bytes], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each request with the next action of its path's script; the last action stays."""

    server: "FileServer"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/")
        self.server.asked.append((path, dict(self.headers)))
        actions = self.server.scripts.get(path, [answer(404)])
        action = actions.pop(0) if len(actions) > 1 else actions[0]
        action(self, self.server.files.get(path, b""))

    def start(self, status: int, **headers: str | int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class FileServer(http.server.ThreadingHTTPServer):
    """`files` by path, `scripts` of what to do at each request, and what has been `asked`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.scripts: dict[str, list[Action]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, content: bytes, *actions: Action) -> str:
        """Serve the content at the path and return its address."""
        self.files[path] = content
        self.scripts[path] = list(actions) or [serve]
        return f"{self.address}/{path}"

    @property
    def ranges(self) -> list[str | None]:
        """What part of the file each request wanted."""
        return [headers.get("Range") for _, headers in self.asked]


@contextmanager
def run_server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def name_version(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def _find_start(handler: Handler) -> int:
    return int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def serve(handler: Handler, content: bytes) -> None:
    """Serve as one should."""
    start = _find_start(handler)
    if handler.headers.get("If-Range", name_version(content)) != name_version(content):
        start = 0
    send(handler, content, start)


def send(handler: Handler, content: bytes, start: int, until: int | None = None) -> None:
    """Send what follows `start`, but break off at `until`."""
    known = {"Content_Length": len(content) - start, "ETag": name_version(content)}
    if start:
        handler.start(206, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}", **known)
    else:
        handler.start(200, **known)
    handler.wfile.write(content[start:until])


def serve_whole(handler: Handler, content: bytes) -> None:
    """Take no notice of the range."""
    send(handler, content, 0)


def serve_any_version(handler: Handler, content: bytes) -> None:
    """Heed the range, whatever version it was meant for."""
    send(handler, content, _find_start(handler))


def serve_unnamed(handler: Handler, content: bytes) -> None:
    """Say nothing about the version."""
    handler.start(200, Content_Length=len(content))
    handler.wfile.write(content)


def break_unnamed(handler: Handler, content: bytes) -> None:
    handler.start(200, Content_Length=len(content))
    handler.wfile.write(content[: len(content) // 2])


def serve_in_chunks(handler: Handler, content: bytes) -> None:
    """Do not say how long it will be."""
    handler.protocol_version = "HTTP/1.1"
    handler.close_connection = True
    handler.start(200, Transfer_Encoding="chunked")
    for start in range(0, len(content), 50_000):
        chunk = content[start : start + 50_000]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    handler.wfile.write(b"0\r\n\r\n")


def linger(handler: Handler, content: bytes) -> None:
    """Send everything, but do not end the connection."""
    send(handler, content, 0)
    handler.wfile.flush()
    handler.server.closing.wait(5)


def stall(handler: Handler, content: bytes) -> None:
    """Say nothing at all."""
    handler.server.closing.wait(5)


def break_off(until: int) -> Action:
    """Return an action that serves the file up to there and ends the connection."""
    return lambda handler, content: send(handler, content, _find_start(handler), until)


def promise(length: int) -> Action:
    """Return an action that lies about the length."""

    def act(handler: Handler, content: bytes) -> None:
        handler.start(200, Content_Length=length)
        handler.wfile.write(content)

    return act


def answer(status: int, body: bytes = b"", **headers: str) -> Action:
    def act(handler: Handler, content: bytes) -> None:
        handler.start(status, Content_Length=len(body), **headers)
        handler.wfile.write(body)

    return act


def redirect(location: str) -> Action:
    return answer(302, Location=location)


def hold(released: threading.Event) -> Action:
    """Return an action that serves the file when it is allowed to."""

    def act(handler: Handler, content: bytes) -> None:
        released.wait(5)
        serve(handler, content)

    return act
