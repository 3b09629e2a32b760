"""The commands, on real images, as a person types them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import diptych
from diptych.cli import main
from diptych.images import read_tensor
from diptych.inference.evaluation import find_evaluation_data
from diptych.networks import build, initialise
from diptych.translators import NetworkTranslator, load_translator

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data" / "flat2fluent"
PARITY = ROOT / "tests" / "data" / "parity" / "networks"
FORMAT1 = ROOT / "tests" / "data" / "format1"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build("ResnetGenerator", width=4, blocks=1)
    initialise(network)
    path = tmp_path / "ab.safetensors"
    NetworkTranslator(network.eval(), {"direction": "ab", "from": "flat", "to": "fluent", "size": 32}).save(path)
    return path


def test_folders_keep_names_and_sizes(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = tmp_path / "in"
    sizes = {"a.png": (20, 31), "deep/b c=1,2 [x].jpg": (64, 64), "deep/é.webp": (64, 64), "-d.bmp": (9, 5)}
    for name, size in sizes.items():
        (inputs / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 20).convert("RGB").save(inputs / name)
    out = tmp_path / "out"
    assert main(["translate", str(inputs), "--translator", str(bundle), "--out", str(out), "--batch-size", "2"]) == 0
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == set(sizes)
    for name, size in sizes.items():
        with Image.open(out / name) as image:
            assert image.size == size
    translator = load_translator(bundle)
    expected = translator(read_tensor(inputs / "a.png")[None])[0]
    assert (read_tensor(out / "a.png") - expected).abs().max() <= 1 / 127
    assert "4 of 4 images translated" in capsys.readouterr().out


def test_transparency_can_be_put_back(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alpha = Image.linear_gradient("L").resize((24, 24))
    image = Image.merge("RGBA", (*Image.new("RGB", (24, 24), "red").split(), alpha))
    inputs = tmp_path / "in"
    inputs.mkdir()
    image.save(inputs / "shape.png")
    Image.new("P", (24, 24)).save(inputs / "hole.gif", transparency=0)
    Image.new("RGB", (24, 24)).save(inputs / "plain.jpg")
    for flags, modes in (([], {"RGB"}), (["--keep-alpha"], {"RGBA"})):
        out = tmp_path / "-".join(["out", *flags])
        assert main(["translate", str(inputs), "--translator", str(bundle), "--out", str(out), *flags]) == 0
        with Image.open(out / "shape.png") as written:
            assert {written.mode} == modes
            if flags:
                assert written.getchannel("A").tobytes() == alpha.tobytes()
    assert sorted(path.name for path in out.iterdir()) == ["hole.gif.png", "plain.jpg", "shape.png"]
    with Image.open(out / "hole.gif.png") as written:
        assert written.getchannel("A").getextrema() == (0, 0)


def test_large_images_are_refused_by_the_limit(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "x.png")
    arguments = ["translate", str(tmp_path / "x.png"), "--translator", str(bundle), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--max-pixels", "4000"]) == 4
    assert "64×64 pixels are more than the limit of 4,000" in capsys.readouterr().err
    assert main(arguments) == 0


def test_real_emoji_through_the_original_codes_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = PARITY / "resnet_6blocks_batch.pth"
    sources = sorted((DATA / "testA").iterdir())[:3]
    arguments = ["translate", *map(str, sources), "--translator", str(weights), "--out", str(tmp_path), "--size", "48"]
    assert main(arguments) == 0
    assert "6 blocks, width 8, batch norm" in capsys.readouterr().out
    for source in sources:
        with Image.open(tmp_path / source.name) as image:
            assert image.size == (48, 48)


def test_unreadable_images_are_named_and_the_others_translated(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    Image.new("RGB", (8, 8)).save(inputs / "good.png")
    (inputs / "bad.png").write_bytes(b"nothing")
    code = main(["translate", str(inputs), "--translator", str(bundle), "--out", str(tmp_path / "out")])
    captured = capsys.readouterr()
    assert code == 4
    assert "bad.png: not a readable image" in captured.err
    assert "1 of 2 images translated" in captured.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["INPUT", "--translator", "nowhere.safetensors"], 5, "nowhere.safetensors: no such file"),
        (["nowhere.png", "--translator", "BUNDLE"], 4, "nowhere.png: no such file or folder"),
        (["EMPTY", "--translator", "BUNDLE"], 4, "no images in this folder"),
        (["INPUT", "--translator", "INPUT/x.png"], 5, "not a translator"),
        (["INPUT", "--translator", "BUNDLE", "--direction", "ba"], 5, "translates ab, not ba"),
        (["INPUT", "--translator", "BUNDLE", "--device", "cuda:7"], 6, "--device cuda:7: not available"),
        (["INPUT", "--translator", "BUNDLE", "--out", "INPUT"], 2, "would be overwritten"),
        (["INPUT/x.png", "INPUT", "--translator", "BUNDLE"], 0, ""),
        (["INPUT", "--translator", "BUNDLE", "--seed", "1"], 2, "this translator takes no seed; it takes nothing"),
        (["INPUT", "--translator", "BUNDLE", "--steps", "9"], 2, "this translator takes no steps; it takes nothing"),
        (["INPUT", "--translator", "BUNDLE", "--every", "9"], 2, "this translator takes no steps; it takes nothing"),
        (["INPUT", "--translator", "BUNDLE", "--style", "0.5"], 2, "this translator takes no style; it takes nothing"),
        (["INPUT/x.png", "TWIN/x.png", "--translator", "BUNDLE"], 2, "would be written from both"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_mistakes_become_one_line(
    arguments: list[str], code: int, message: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("EMPTY", "INPUT", "TWIN"):
        (tmp_path / folder).mkdir()
    for folder in ("INPUT", "TWIN"):
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "x.png")
    places = {"BUNDLE": str(bundle), **{name: str(tmp_path / name) for name in ("EMPTY", "INPUT", "TWIN")}}
    words = [
        places.get(w.split("/")[0], w.split("/")[0]) + "".join(f"/{p}" for p in w.split("/")[1:]) for w in arguments
    ]
    if "--out" not in words:
        words += ["--out", str(tmp_path / "out")]
    assert main(["translate", *words]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == (1 if message else 0)
    assert all(line.startswith("error: ") and message in line for line in lines)


def test_output_that_cannot_be_written_is_named(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "file").write_text("in the way")
    arguments = [str(tmp_path / "x.png"), "--translator", str(bundle), "--out", str(tmp_path / "file")]
    assert main(["translate", *arguments]) == 6
    assert "cannot be written" in capsys.readouterr().err


def test_describe_says_what_a_file_is(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(bundle)]) == 0
    text = capsys.readouterr().out
    assert "flat → fluent" in text
    assert "ResnetGenerator" in text
    assert "width: 4" in text
    assert "kind: feed-forward; beside the image it takes nothing" in text
    assert main(["describe", str(FORMAT1 / "adain.safetensors")]) == 0
    assert "kind: styled; beside the image it takes style by image" in capsys.readouterr().out
    assert main(["describe", str(PARITY / "unet_128_instance.pth")]) == 0
    assert "UnetGenerator of the original code: depth 7, width 4, instance norm" in capsys.readouterr().out
    assert main(["describe", str(PARITY / "patchgan_n3_instance.pth")]) == 5
    assert "judges images" in capsys.readouterr().err


def test_a_run_folder_stands_for_its_translator(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "translators").mkdir(parents=True)
    assert main(["describe", str(run)]) == 5
    told = f"error: {run}: a folder without translators/ab.safetensors, not a translator's file; in it: no translator\n"
    assert capsys.readouterr().err == told
    bundle.rename(run / "translators" / "ab.safetensors")
    assert main(["describe", str(run)]) == 0
    assert "flat → fluent" in capsys.readouterr().out
    assert main(["describe", str(run), "--direction", "ba"]) == 5
    assert capsys.readouterr().err.endswith("in it: translators/ab.safetensors\n")
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    words = ["translate", str(tmp_path / "x.png"), "--translator", str(run), "--out", str(tmp_path / "out")]
    assert main(words) == 0


def test_evaluation_prepares_images_as_training_did(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 32), "white")
    picture.paste("black", (24, 8, 40, 24))  # the centre 16×16
    for folder in ("testA", "testB"):
        (tmp_path / folder).mkdir()
        picture.save(tmp_path / folder / "x.png")
    network = build("ResnetGenerator", width=1, blocks=1)

    def load(**notes: object) -> Tensor:
        data = find_evaluation_data(NetworkTranslator(network, {"size": 16, **notes}), tmp_path)
        return data.load("a", data.test["a"])

    assert load(preset="crop").max() == -1
    assert load(preset="scale_width_and_crop", load_size=32).max() == 1  # twice as much is seen
    assert load().shape == (1, 3, 16, 16)


def test_evaluate_prints_and_saves(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, random = tmp_path / "data", np.random.default_rng(0)
    for folder in ("testA", "testB"):
        (data / folder).mkdir(parents=True)
        for name in ("one", "two"):
            Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(data / folder / f"{name}.png")
    out = tmp_path / "scores.json"
    assert main(["evaluate", "--translator", str(bundle), "--data", str(data), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "flat → fluent, 2 test images" in text
    assert "copying" in text
    scores = json.loads(out.read_text())
    assert scores["columns"]["copying"]["psnr"]["value"] > 0
    assert scores["classifier_accuracy"] is None  # there are no training folders
    assert main(["evaluate", "--translator", str(bundle), "--data", str(tmp_path / "no"), "--out", str(out)]) == 4


def test_help_is_quick_and_light() -> None:
    code = "import sys, diptych.cli\ntry: diptych.cli.main(['--help'])\nfinally: sys.exit('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "translate" in result.stdout


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"diptych {diptych.__version__}\n"
