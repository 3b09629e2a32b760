"""The one way to the terminal: a line stays a line, and what comes from a file or a server gives no orders to it.

Names of files, notes of bundles and answers of servers are others' words. An escape sequence in them would move the
cursor, a line break forge a line of ours, a word in brackets be taken for Rich's markup.
"""

import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """Print one line on stderr, at once."""
    print(clean(line), file=sys.stderr, flush=True)


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

        def render(self, renderable: Any, options: Any = None) -> "Iterable[Segment]":
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
