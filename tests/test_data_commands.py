"""`diptych data`: what it says is so, nothing is left behind, and names of files give no orders."""

from pathlib import Path

import pytest
from PIL import Image

from diptych.cli import main
from diptych.data.catalogue import CATALOGUE

pytestmark = pytest.mark.reliability


def test_every_name_of_the_list_is_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe, and at 80 columns of a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    for terminal in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", terminal)
        assert main(["data", "list"]) == 0
        listed = capsys.readouterr().out
        assert all(name in listed for name in CATALOGUE)
        assert "…" not in listed


@pytest.mark.parametrize("name", ["hf:somebody/set", "parquet:set.parquet", "horse2zebra"])
def test_what_is_there_is_not_said_to_be_fetched(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("set", "horse2zebra"):
        (tmp_path / "datasets" / folder / "trainA").mkdir(parents=True)
    assert main(["data", "get", name]) == 0
    said = capsys.readouterr().out
    assert "there already, nothing was fetched" in said
    assert "ready" not in said.replace("already", "")


REFUSED = ("hf:", "hf:/", "hf:..", "parquet:", "cityscapes", "../datasets", "nothing", "parquet:none.parquet")


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_refused_finds_nothing_new(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets" / "other").mkdir(parents=True)
    assert main(["data", "get", name]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["datasets", "other"]


def test_file_names_forge_no_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checks of a folder with hostile names: bad files, twins, and a folder's own name."""
    folder = tmp_path / "[/red]\x1b[2J"
    for part in ("trainA", "testA"):
        (folder / part).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(folder / part / "good\nerror: forged.png")
    (folder / "trainA" / "bad\x1b]0;x\x07\nerror: forged.png").write_bytes(b"")
    assert main(["data", "check", str(folder)]) == 4
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "\x1b" not in captured.out
    errors = [line for line in captured.out.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "bad\\x1b]0;x\\x07\\nerror: forged.png" in errors[0]
