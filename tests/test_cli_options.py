"""What a person may type by mistake: one line that names the option, before any work, whatever the nonsense."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import sweep, write_noise
from PIL import Image

from diptych.cli import _make_parser, main
from diptych.images import Form
from diptych.networks import build
from diptych.translators import NetworkTranslator

pytestmark = pytest.mark.reliability

ADAIN = Path(__file__).parent / "data" / "format1" / "adain.safetensors"
NONSENSE = (
    "", " ", "0", "-1", "1.5", "nan", "inf", "-inf", "1e9", "99999999999999999999999", "true", "None", "=", ":", ",",
    "..", "/", "/dev/null", "\0", "\x1b[2J[/red]", "a" * 500, "cuda:999", "meta", "--", "-", "é", "1,2", "[1,2]",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, a translator, and a data set of two test images a domain."""
    folder = tmp_path_factory.mktemp("options")
    random = np.random.default_rng(0)
    for name in ("image", "style", "data/testA/1", "data/testA/2", "data/testB/1", "data/testB/2"):
        write_noise(folder / f"{name}.png", random, (32, 32))
    network = build("ResnetGenerator", width=1, blocks=1)
    NetworkTranslator(network.eval(), {"direction": "ab", "size": 32}).save(folder / "ab.safetensors")
    return folder


def make_commands(place: Path) -> dict[str, list[str]]:
    """Return a command line that works for each command, as cheap as it can be."""
    image, bundle = str(place / "image.png"), ["--translator", str(place / "ab.safetensors")]
    out, style = ["--out", str(place / "out")], ["--style", str(place / "style.png")]
    return {
        "translate": ["translate", image, *bundle, *out],
        "stylize": ["stylize", image, *style, "--encoder", "own", "--steps", "1", *out],
        "stylize by a translator": ["stylize", image, *style, "--translator", str(ADAIN), *out],
        "evaluate": ["evaluate", *bundle, "--data", str(place / "data"), "--out", str(place / "out" / "scores.json")],
        "describe": ["describe", str(place / "ab.safetensors")],
        "similarity": ["similarity", image, str(place / "style.png"), "--encoder", "own", *out],
        "data list": ["data", "list"],
        "data check": ["data", "check", str(place / "data")],
        "data get": ["data", "get", "cityscapes", "--out", str(place / "cityscapes")],
        "export": ["export", "--translator", str(ADAIN.with_name("none")), "--out", str(place / "x.onnx")],
    }


def list_options(words: list[str]) -> Iterator[argparse.Action]:
    """Yield the options of a command that take values."""
    parser: argparse.ArgumentParser = _make_parser()
    for word in words:
        chosen = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if chosen is None:
            break
        parser = chosen.choices[word]
    yield from (action for action in parser._actions if action.option_strings and action.nargs != 0)


OPTIONS = [
    (title, action.option_strings[0], action.nargs if isinstance(action.nargs, int) else 1)
    for title, words in make_commands(Path()).items()
    for action in list_options(words)
]


def test_there_are_as_many_options_as_are_tried() -> None:
    assert len(OPTIONS) * len(NONSENSE) > 1500


@pytest.mark.parametrize("word", sweep(NONSENSE, {"", "-1", "nan", "99999999999999999999999"}), ids=ascii)
@pytest.mark.parametrize(("title", "option", "values"), OPTIONS)
def test_nonsense_is_refused_in_one_line(
    title: str, option: str, values: int, word: str, place: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Or means something after all: whatever comes of it, there is no traceback and at most one line of error."""
    monkeypatch.chdir(place)
    code = main([*make_commands(place)[title], option, *[word] * values])
    captured = capfd.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert code in (0, 2, 4, 5, 6)
    assert len(errors) == (code != 0)
    assert "\x1b[2J" not in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["translate", "--size", "99999999999999999999999"], "--size: 99999999999999999999999 must be a whole number"),
        (["translate", "--out", ""], "--out: '' is no path"),
        (["translate", "--batch-size", "0"], "--batch-size: 0 must be a whole number from 1 to 4096"),
        (["translate", "--device", "gpu"], "--device: gpu must be auto, cpu, cuda, cuda:1 or mps"),
        (["translate", "--sise", "5"], "there is no option --sise; did you mean --size?"),
        (["translate", "--tranlator=x", "y"], "there is no option --tranlator; did you mean --translator?"),
        (["translate", "--direction", "aa"], "--direction: there is no aa; one of ab, ba"),
        (["translate"], "the following arguments are required: input, --out, --translator"),
        (["translate", "x", "--size"], "--size: expected one argument"),
        (["evaluate", "--size", "1"], "--size: 1 must be a whole number from 16 to 65535"),
        (["evaluate", "--max-pixels", "9"], "there is no option --max-pixels"),
        (["stylise"], "there is no stylise; did you mean stylize?"),
        (["data", "chekc", "x"], "there is no chekc; did you mean check?"),
        (["data", "check", "x", "y"], "y is one word too many"),
        (["data"], "the following arguments are required: ACTION"),
        (["--versoin"], "there is no option --versoin; did you mean --version?"),
        ([], "the following arguments are required: COMMAND"),
    ],
    ids=lambda words: " ".join(words)[:40] if isinstance(words, list) else "",
)
def test_mistakes_of_words_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert line.endswith("--help`")


TO_FOLDERS, TO_FILES = ("translate", "stylize", "stylize by a translator", "similarity"), ("evaluate", "export")


@pytest.mark.parametrize(
    ("title", "out"),
    [
        *((title, "file/below") for title in (*TO_FOLDERS, *TO_FILES)),
        *((title, "file") for title in TO_FOLDERS),
        *((title, "folder") for title in TO_FILES),
    ],
)
def test_where_nothing_can_be_written_nothing_is_begun(
    title: str, out: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych.translators.bundle.load_translator", None)
    monkeypatch.setattr("diptych.translators.encoders.load_encoder", None)
    (place / "file").write_text("in the way")
    (place / "folder").mkdir(exist_ok=True)
    assert main([*make_commands(place)[title], "--out", str(place / out)]) == 6
    captured = capsys.readouterr()
    assert "cannot be written" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("style", ["nowhere.png", "image.png:nan"])
def test_a_style_is_looked_for_before_the_encoder_is_loaded(
    style: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("diptych.translators.make_gatys", None)
    assert main(["stylize", "image.png", "--style", style, "--out", "out"]) in (2, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert style.split(":")[0] in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--style", "style.png", "--style-mask", "black.png"],
            "--style-mask black.png: it is empty, black everywhere",
        ),
        (["--style", "style.png", "--style-mask", "nowhere.png"], "nowhere.png: no such image"),
        (["--style", "style.png", "--mask", "nowhere.png"], "nowhere.png: no such image"),
        (["--style", "bad.png"], "bad.png: not a readable image"),
        (["--style", "0.5"], "0.5: no such image"),
    ],
)
def test_what_is_wrong_with_a_style_is_said_before_anything_else(
    words: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    Image.new("L", (32, 32)).save("black.png")
    Path("bad.png").write_bytes(b"nothing")
    assert main(["translate", "image.png", "--translator", str(ADAIN), "--out", "out", *words]) in (2, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_a_style_by_number_is_tried_first(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a network that knows two styles."""
    network = build("ConditionalGenerator", width=2, blocks=1, styles=2).eval()
    NetworkTranslator(network, {"direction": "ab"}).save(place / "two.safetensors")
    words = ["translate", str(place / "image.png"), "--translator", str(place / "two.safetensors")]
    assert main([*words, "--style", "7", "--out", str(place / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: --style 7" in captured.err


def test_images_on_the_way_do_not_overwrite_what_is_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_noise(place / "out" / "image-steps" / "00001.png", np.random.default_rng(0), (32, 32))
    inputs = [str(place / "image.png"), str(place / "out" / "image-steps" / "00001.png")]
    words = ["--style", str(place / "style.png"), "--encoder", "own", "--steps", "1", "--out", str(place / "out")]
    assert main(["stylize", *inputs, *words, "--every", "1"]) == 2
    assert "image-steps is read and would be overwritten" in capsys.readouterr().err


def test_the_limit_on_pixels_holds_for_what_is_asked_for(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*make_commands(place)["translate"], "--size", "60000"]) == 4
    assert "image.png at --size 60000: 60000×60000 pixels are more than the limit" in capsys.readouterr().err
    assert Form().max_pixels < 60000**2
