"""A web server on this machine that serves files well, or in one of the ways in which servers go wrong."""

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
        self.server.asked.append(path)
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
    """`files` by path, `scripts` of what to do at each request, and the paths that have been `asked` for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.scripts: dict[str, list[Action]] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, content: bytes, *actions: Action) -> str:
        """Serve the content at the path and return its address."""
        self.files[path] = content
        self.scripts[path] = list(actions) or [serve]
        return f"{self.address}/{path}"


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


def serve(handler: Handler, content: bytes) -> None:
    """Serve as one should."""
    handler.start(200, Content_Length=len(content))
    handler.wfile.write(content)


def serve_in_chunks(handler: Handler, content: bytes) -> None:
    """Do not say how long it will be."""
    handler.protocol_version = "HTTP/1.1"
    handler.close_connection = True
    handler.start(200, Transfer_Encoding="chunked")
    for start in range(0, len(content), 50_000):
        chunk = content[start : start + 50_000]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    handler.wfile.write(b"0\r\n\r\n")


def break_off(handler: Handler, content: bytes) -> None:
    """Serve a part of the file and end the connection."""
    handler.start(200, Content_Length=len(content))
    handler.wfile.write(content[: len(content) // 2])


def stall(handler: Handler, content: bytes) -> None:
    """Say nothing at all."""
    handler.server.closing.wait(5)


def answer(status: int, **headers: str) -> Action:
    def act(handler: Handler, content: bytes) -> None:
        handler.start(status, Content_Length=0, **headers)

    return act


def hold(released: threading.Event) -> Action:
    """Return an action that serves the file when it is allowed to."""

    def act(handler: Handler, content: bytes) -> None:
        released.wait(5)
        serve(handler, content)

    return act
