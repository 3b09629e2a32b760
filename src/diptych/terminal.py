"""The one way to the terminal: a line stays a line, and what comes from a file or a server gives no orders to it.

Names of files, notes of bundles and answers of servers are others' words. An escape sequence in them would move the
cursor, a line break forge a line of ours, a word in brackets be taken for Rich's markup.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO, cast

from diptych.errors import MachineError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress
    from rich.segment import Segment
    from rich.status import Status

_ORDERS = re.compile(  # C0, DEL and C1; line and paragraph separators; directions of writing; tags; lone surrogates
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\ud800-\udfff]"
)
_UNBOUNDED = 10_000  # columns


def clean(text: object) -> str:
    """Return a text as one line that can be printed: whatever orders a terminal is spelt out, as `\\x1b` or `\\n`."""
    return _ORDERS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))


def say(line: object) -> None:
    """Print one line, at once."""
    print(clean(line), flush=True)


def complain(line: object) -> None:
    """Print one line on stderr, at once; where that cannot be written, the exit code still says it."""
    try:
        print(clean(line), file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let a stream lead nowhere from now on, also with what is still in its buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Output:
    """Standard output, which says in our words why it cannot be written, whoever writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._attempt(self._stream.write, text))

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, act: Callable[..., Any], *arguments: str) -> Any:
        try:
            return act(*arguments)
        except BrokenPipeError:  # its reader has enough, which is no mistake
            raise
        except OSError as error:
            silence(self._stream)
            raise MachineError(f"the standard output cannot be written ({error.strerror or error})") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _open_streams() -> None:
    """Let streams that were closed before the program began lead nowhere, before a file takes a closed one's number."""
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(nowhere)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


@contextmanager
def explained_output() -> Iterator[None]:
    """Raise `MachineError` where the standard output cannot be written, on a full disk for one, to the last line.

    What was closed before the program began leads nowhere.
    """
    _open_streams()
    output = cast("TextIO", _Output(sys.stdout))
    with redirect_stdout(output):
        try:
            yield
        finally:
            output.flush()


def show(table: "RenderableType") -> None:
    """Print a table; in a pipe nothing of it is cut or wrapped, in a narrow terminal no column that does not wrap."""
    wide = make_console(width=_UNBOUNDED)
    needed = wide.measure(table)
    width = max(make_console().width, needed.minimum) if wide.is_terminal else needed.maximum
    make_console(width=width).print(table)


def make_console(stderr: bool = False, width: int | None = None) -> "Console":
    """Return a console that takes every string for plain text, and cleans Rich's `Text` too."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(clean(text), **options)

        def render(self, renderable: Any, options: Any = None) -> Iterable["Segment"]:
            if isinstance(renderable, Text) and (plain := clean(renderable)) != renderable.plain:
                renderable = Text(plain, renderable.style, justify=renderable.justify, end=renderable.end)
            return super().render(renderable, options)

    return PlainConsole(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def show_status(title: str, stderr: bool = False) -> "Status":
    """Return a block during which a terminal says what goes on."""
    from rich.text import Text

    return make_console(stderr).status(Text(clean(title)))


def make_progress(*columns: Any, stderr: bool = False, **options: Any) -> "Progress":
    """Return Rich's bars; without other columns each has its description, as plain text."""
    from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Description(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(clean(task.description), style="progress.description")

    columns = columns or (Description(""), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, **({"console": make_console(stderr)} | options))
