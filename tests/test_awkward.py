"""The corpus of awkward files through every door: each is read right, or refused by name."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from awkward import CORPUS, Awkward, make_corpus
from conftest import TINY_NETWORKS

from diptych.cli import main
from diptych.data import Domain, Preparation
from diptych.data.domain import Notes
from diptych.errors import DataError
from diptych.images import Picture, load_image
from diptych.networks import build
from diptych.translators import NetworkTranslator

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import train  # noqa: E402

GOOD = [entry for entry in CORPUS if entry.size]
BAD = [entry for entry in CORPUS if not entry.size]
LOSS = 6  # what saving as JPEG, WebP or with a palette may add to a colour's error


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("awkward files")
    make_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator that returns its input: a residual generator whose change is zero."""
    network = build("ResnetGenerator", width=1, blocks=1, residual=True)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path_factory.mktemp("bundle") / "ab.safetensors"
    NetworkTranslator(network.eval(), {"direction": "ab"}).save(path)
    return path


def find_faults(entry: Awkward, picture: Picture, loss: int = 0) -> list[str]:
    """Say where a picture differs from what the corpus expects."""
    faults = []
    if (picture.width, picture.height) != entry.size:
        faults.append(f"{picture.width}×{picture.height} instead of {entry.size}")
    for (x, y), expected in entry.colours:
        found = picture.bands[0].getpixel((int(x * picture.width), int(y * picture.height)))
        if max(abs(one - other) for one, other in zip(found, expected, strict=True)) > entry.tolerance + loss:
            faults.append(f"{found} instead of {expected} at {x}, {y}")
    return faults


def test_the_corpus_is_large_enough_and_tells_something() -> None:
    assert len(CORPUS) >= 40
    assert len({entry.name for entry in CORPUS}) == len(CORPUS)
    assert all(entry.colours for entry in GOOD)


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: entry.what)
def test_readable_files_are_read_right(entry: Awkward, corpus: Path) -> None:
    picture = load_image(corpus / entry.name)
    assert find_faults(entry, picture) == []
    assert entry.remark in " ".join(picture.remarks)
    if not entry.remark:
        assert not picture.remarks


@pytest.mark.parametrize("entry", BAD, ids=lambda entry: entry.what)
def test_others_are_refused_by_name_in_one_line(entry: Awkward, corpus: Path) -> None:
    with pytest.raises(DataError) as refusal:
        load_image(corpus / entry.name)
    message = str(refusal.value)
    assert Path(entry.name).name in message
    assert entry.refused in message.lower()
    assert "\n" not in message


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.what)
def test_training_takes_or_names_each(entry: Awkward, corpus: Path) -> None:
    domain = Domain([corpus / entry.name], Preparation(20, 16))
    if entry.size and not entry.small:
        assert domain.load(0, Notes()).shape == (3, 20, 20)
    else:
        with pytest.raises(DataError) as refusal:
            domain.load(0, Notes())
        assert Path(entry.name).name in str(refusal.value)
        if entry.small:
            assert "too small for data.min_size=16" in str(refusal.value)


@pytest.mark.parametrize("names", ["folder", "one by one"])
def test_translate_writes_the_good_and_names_the_bad(
    names: str, corpus: Path, copier: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also by their own names on the command line, as a shell would hand them over."""
    inputs = [str(corpus)] if names == "folder" else [str(corpus / entry.name) for entry in CORPUS]
    assert main(["translate", *inputs, "--translator", str(copier), "--out", str(tmp_path), "--engine", "torch"]) == 4
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(BAD)
    for entry in BAD:
        assert any(Path(entry.name).name in line and entry.refused in line.lower() for line in errors), entry.name
    assert f"{len(GOOD)} of {len(CORPUS)} images translated" in captured.out
    for entry in GOOD:
        relative = entry.name if names == "folder" else Path(entry.name).name
        written = [path for path in (tmp_path / relative, tmp_path / f"{relative}.png") if path.exists()]
        assert len(written) == 1, entry.name
        assert find_faults(entry, load_image(written[0]), LOSS) == [], entry.name
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(GOOD)


@pytest.mark.exhaustive
def test_a_run_over_everything_finishes_with_skip(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    overrides = [
        *(f"data.path_{domain}={corpus}" for domain in "ab"),
        "experiment=custom",
        f"run_dir={run_dir}",
        "data.on_error=skip",
        "data.load_size=18",
        "data.crop_size=16",
        "data.workers=2",
        "method.schedule.epochs=1",
        "method.schedule.decay_epochs=0",
        *TINY_NETWORKS,
    ]
    monkeypatch.setattr(sys, "argv", ["train.py", *train.prepare(overrides)])
    with train.explained():
        train.main()
    taken = [entry for entry in GOOD if not entry.small]
    left_out = [entry for entry in CORPUS if entry not in taken]
    with (run_dir / "skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted({row["file"] for row in rows}) == sorted(str(corpus / entry.name) for entry in left_out)
    assert f"{2 * len(left_out)} files are left out" in capsys.readouterr().out
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["diptych"]["images_seen"] == len(taken)
    assert (run_dir / "finished").exists()


@pytest.mark.parametrize("entry", BAD[:1], ids=lambda entry: entry.what)
def test_a_run_stops_with_one_line_without_skip(
    entry: Awkward, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "only bad, [é]=x"
    folder.mkdir()
    (folder / "bad.png").write_bytes((corpus / entry.name).read_bytes())
    overrides = ["experiment=custom", f"data.path_a={folder}", f"data.path_b={folder}", f"run_dir={tmp_path / 'run'}"]
    monkeypatch.setattr(sys, "argv", ["train.py", *train.prepare([*overrides, "data.workers=0", *TINY_NETWORKS])])
    with pytest.raises(SystemExit) as stop, train.explained():
        train.main()
    assert stop.value.code == 4
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "bad.png: not a readable image" in line
