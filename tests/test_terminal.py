"""What comes from outside gives the terminal no orders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Column, Table
from rich.text import Text

from diptych.terminal import clean, complain, make_console, make_progress, say, show, show_status

pytestmark = pytest.mark.reliability

ESCAPES = ("\x1b[2J\x1b[31m", "\x9b2J", "\x1b]0;title\x07", "\r", "\n", "\v", "\x00", "\x7f", "\u2028", "\u202e")
MARKUP = ("[/red]", "[bold]", "[link=file:///etc]", "[", "\\[/x]", ":smile:")


@pytest.mark.parametrize("text", ESCAPES, ids=ascii)
def test_what_orders_a_terminal_about_is_spelt_out(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a{text}error: forged")
    complain(f"a{text}error: forged")
    show(Table(Column(f"a{text}b"), title=text))
    show(Table(Column(Text(f"a{text}b")), title=Text(f"a{text}error: forged")))
    make_console().print(f"a{text}b")
    with make_progress() as bars:
        bars.add_task(f"a{text}b", total=1)
    captured = capsys.readouterr()
    said, complained = captured.out.splitlines(), captured.err.splitlines()
    assert said[0] == complained[0] == f"a{clean(text)}error: forged"
    assert len(complained) == 1
    assert not any(line.startswith("error") for line in said)
    assert text == "\n" or text not in captured.out


@pytest.mark.parametrize("text", MARKUP)
def test_what_reads_like_markup_is_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(Table(text, title=text))
    make_console().print(text)
    with show_status(text, stderr=True), make_progress() as bars:
        bars.add_task(text, total=1)
    assert capsys.readouterr().out.count(text) == 4


def test_ordinary_text_stays_as_it_is() -> None:
    text = "é ß 絵画 🎨 👨‍👩‍👧 a=b [0-9]{a,b}(c) \\n"
    assert clean(text) == text
    assert clean("not utf-8 \udce9") == "not utf-8 \\udce9"


def test_tables_are_not_cut_in_a_pipe_nor_their_names_anywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long, words = "n" * 100, "word " * 30
    table = Table(Column("name", no_wrap=True), "words")
    table.add_row(long, words)
    monkeypatch.setenv("COLUMNS", "80")
    show(table)
    piped = capsys.readouterr().out
    assert long in piped
    assert words.strip() in piped
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich takes it for a terminal
    show(table)
    shown = capsys.readouterr().out
    assert long in shown
    assert words.strip() not in shown


BUNDLE = str(Path(__file__).parent / "data" / "format1" / "resnet.safetensors")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
@pytest.mark.parametrize("words", [["describe", BUNDLE], ["--help"], ["--version"]], ids=str)
def test_a_full_disk_is_said_on_the_standard_error(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "diptych", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 6
        assert done.stderr == "error: the standard output cannot be written (No space left on device)\n"
        mistaken = subprocess.run([*command[:3], "describe", "nowhere"], stdout=full, stderr=full, check=False)
        assert mistaken.returncode == 5


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
def test_closed_streams_are_done_without() -> None:
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "diptych", "describe"]
        assert subprocess.run([*command, BUNDLE], check=False).returncode == 0
        mistaken = subprocess.run([*command, "nowhere"], capture_output=True, text=True, check=False)
        assert mistaken.returncode == 5
        assert mistaken.stdout == ""


def test_the_package_runs_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "diptych", "--version"], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith("diptych ")


def test_downloads_are_not_offered_to_git() -> None:
    root = Path(__file__).parent.parent
    result = subprocess.run(["git", "check-ignore", "-q", "datasets/x/trainA/1.png"], cwd=root, check=False)
    assert result.returncode in (0, 128)  # 128: not in a repository
