"""Going on with a run by its folder alone, wherever that lies now, and by whatever is whole in it."""

import shutil
import signal
from pathlib import Path

import pytest
from test_resume import WHOLE, assert_same_end, stop_at
from test_train import load, make_overrides, run

from diptych.callbacks.csv_file import CsvFile

pytestmark = pytest.mark.reliability
RECIPE = [word for word in WHOLE if not word.startswith(("+method.augmentation", "method.pool_size"))]
RECIPE += ["method=gan", "method.schedule.decay_epochs=0", "~callbacks.samples"]


@pytest.fixture(scope="module")
def whole_and_stopped(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of five batches, and the same one stopped after three."""
    root = tmp_path_factory.mktemp("going-on")
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, *make_overrides(tiny_data, root / "whole"), *RECIPE)
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            stop_at(patched, 3, signal.SIGTERM)
            run(patched, *make_overrides(tiny_data, root / "stopped"), *RECIPE)
    assert load(root / "stopped")["diptych"]["iteration"] == 3
    return root / "whole", root / "stopped"


@pytest.fixture
def stopped(whole_and_stopped: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy elsewhere of the stopped run's folder."""
    return shutil.copytree(whole_and_stopped[1], tmp_path / "moved")


def test_the_folder_alone_says_what_is_gone_on_with(
    whole_and_stopped: tuple[Path, Path], stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped.parent)
    run(monkeypatch, "run_dir=moved", "resume=auto")
    assert_same_end(whole_and_stopped[0], stopped)
    assert (whole_and_stopped[0] / "metrics.csv").read_bytes() == (stopped / "metrics.csv").read_bytes()
    assert not (whole_and_stopped[1] / "finished").exists()


WHOLE_FILE = b"iteration,images_seen,generator/cycle_a\n1,1,0.5\n2,2,0.25\n3,3,0.125\n"
DAMAGED = {
    "torn": (WHOLE_FILE[:-3], b"".join(WHOLE_FILE.splitlines(True)[:3]), "a damaged line is left out"),
    "zeros": (WHOLE_FILE + bytes(512), WHOLE_FILE, "a damaged line is left out"),
    "zeros within": (WHOLE_FILE.replace(b"2,2,0.25\n", bytes(9)), b"iteration,images_seen,generator/cycle_a\n1,1,0.5\n",
                     "a damaged line is left out"),
    "not UTF-8": (WHOLE_FILE.replace(b"0.25", b"\xff\xfe"), WHOLE_FILE.replace(b"2,2,0.25\n", b""), "a damaged line"),
    "no number": (WHOLE_FILE.replace(b"2,2,0.25", b"2,2,0.2x5"), WHOLE_FILE.replace(b"2,2,0.25\n", b""), "a damaged"),
    "empty": (b"", b"iteration,images_seen\n", "a damaged line"),
    "header cut": (b"iteration,ima", b"iteration,images_seen\n", "a damaged line"),
    "header in two": (WHOLE_FILE.replace(b"_seen", b"_\nseen"), b"iteration,images_\n", "4 damaged lines are left out"),
    "all zeros": (bytes(2048), b"iteration,images_seen\n", "a damaged line"),
    "all noise": (bytes(range(256)) * 9, b"iteration,images_seen\n", "damaged lines are left out"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_whole_of_a_damaged_csv_file_stays(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, told = DAMAGED[damage]
    path = tmp_path / "metrics.csv"
    path.write_bytes(before)
    file = CsvFile(path)
    file.trim(3)
    assert path.read_bytes() == after
    assert (tmp_path / "metrics.damaged.csv").read_bytes() == before
    assert (said := capsys.readouterr().out).count("\n") == 1
    assert told in said
    file.append({"iteration": "4", "images_seen": "4", "generator/cycle_a": "1"})
    assert path.read_bytes().endswith(b",1\n")


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_kept_rows_stay_byte_for_byte(ends: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content := WHOLE_FILE.replace(b"\n", ends))
    CsvFile(path).trim(3)
    assert path.read_bytes() == content
    CsvFile(path).trim(2)
    assert path.read_bytes() == content[: content.index(b"3,3")]
    assert capsys.readouterr().out == ""
