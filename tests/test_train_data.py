"""What data do to a run, through the real entry point: kinds of files, sizes, names, downloads, speed."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import sweep, write_noise
from file_server import run_server
from PIL import Image
from test_train import check_run_folder, load, make_overrides, read_rows, run, run_apart

from diptych.cli import main
from diptych.data.catalogue import CATALOGUE
from diptych.training.overrides import prepare
from diptych.translators import load_translator


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Domain A: grey 16-bit PNG and TIFF. Domain B: float arrays of two channels between -1000 and 3000."""
    root, random = tmp_path / "scans", np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 2)):
        for domain in "AB":
            (root / f"{part}{domain}").mkdir(parents=True)
        for index in range(count):
            grey = random.integers(0, 4096, (24, 20), dtype=np.uint16)
            Image.fromarray(grey).save(root / f"{part}A" / f"{index}.png")
            tifffile.imwrite(root / f"{part}A" / f"{index}t.tif", grey)
            values = random.uniform(-1000, 3000, (24, 20, 2)).astype(np.float32)
            np.save(root / f"{part}B" / f"{index}.npy", values)
            np.save(root / f"{part}B" / f"{index}t.npy", values)
    return root


SCANS = [
    "data.channels_a=1",
    "data.range_a=[0,4095]",
    "data.channels_b=2",
    "data.range_b=[-1000,3000]",
    "method.weights.generator.identity_a=0",
    "method.weights.generator.identity_b=0",
]


@pytest.mark.parametrize("swap", [False, True])
def test_domains_of_other_channels_and_depths(
    swap: bool, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From training to evaluation and to translated files of the other domain's depth."""
    overrides = make_overrides(scans, tmp_path / "run", *SCANS, f"data.swap={swap}".lower())
    run(monkeypatch, "experiment=custom", *overrides, "callbacks.finish.evaluation=true")
    check_run_folder(tmp_path / "run")
    grey_to_pair, pair_to_grey = ("ba", "ab") if swap else ("ab", "ba")
    bundle = tmp_path / "run" / "translators" / f"{grey_to_pair}.safetensors"
    translator = load_translator(bundle)
    assert (translator.input.channels, translator.input.range, translator.input.depth) == (1, (0, 4095), "uint16")
    assert (translator.output.channels, translator.output.depth) == (2, "float32")
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())[grey_to_pair]["columns"]
    assert "copying" not in scores  # one channel is no copy of two
    scores = scores["output"]
    assert scores["psnr"]["value"] > 0
    assert "swd" in scores
    out = tmp_path / "out"
    assert main(["translate", str(scans / "testA"), "--translator", str(bundle), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0.png.tif", "0t.tif", "1.png.tif", "1t.tif"]
    written = tifffile.imread(out / "0.png.tif")
    assert (written.shape, written.dtype) == ((24, 20, 2), np.float32)
    assert -1000 <= written.min() < written.max() <= 3000
    back = tmp_path / "run" / "translators" / f"{pair_to_grey}.safetensors"
    assert main(["translate", str(scans / "testB"), "--translator", str(back), "--out", str(tmp_path / "back")]) == 0
    grey = np.load(tmp_path / "back" / "0.npy")
    assert (grey.shape, grey.dtype) == ((24, 20), np.uint16)
    assert grey.max() <= 4095


def test_grey_pictures(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = make_overrides(tiny_data, tmp_path / "run", "data.channels_a=1", "data.channels_b=1")
    run(monkeypatch, "experiment=custom", *overrides)
    bundle = tmp_path / "run" / "translators" / "ab.safetensors"
    out = tmp_path / "out"
    assert main(["translate", str(tiny_data / "testA"), "--translator", str(bundle), "--out", str(out)]) == 0
    with Image.open(out / "0.png") as written:
        assert (written.mode, written.size) == ("L", (40, 36))


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (SCANS[:4], 2, "identity_a and identity_b must be 0: A has 1 channels and B has 2"),
        (
            [*SCANS, "experiment=flat2fluent", "data.flip=true"],
            2,
            "in_channels and out_channels must be equal",
        ),
        ([*SCANS[:3], SCANS[4], SCANS[5]], 4, "holds float32 numbers: declare their range"),
        ([*SCANS, "data.channels_b=3"], 4, "24×20×2 numbers are not an image of 3 channels"),
        ([*SCANS, "data.range_a=[5,5]"], 2, "must be two numbers, the lower first"),
        ([*SCANS, "data.channels_a=0"], 2, "data.channels_a = 0: must lie between 1 and 64"),
        (["data.preset=zoom"], 2, "data.preset = 'zoom': must be one of resize_and_crop"),
        (["data.on_error=ignore"], 2, "data.on_error = 'ignore': must be one of raise, skip"),
        (["data.epoch_size=0"], 2, "data.epoch_size = 0: must lie between 1"),
        ([*SCANS, "data.drop_last=true", "data.batch_size=9"], 2, "drop_last leaves no batch: an epoch has 6 images"),
        (["data.download=monet2foto", "data.root=/tmp/nowhere/x"], 4, "did you mean monet2photo"),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_mistakes_become_one_line(
    overrides: list[str],
    code: int,
    message: str,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    experiment = [] if any("experiment" in override for override in overrides) else ["experiment=custom"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *experiment, *make_overrides(scans, tmp_path / "run"), *overrides)
    assert stop.value.code == code
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_an_extra_between_unlike_domains_is_refused(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides = [*make_overrides(scans, tmp_path / "run", *SCANS), "generator.residual=false"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "experiment=flat2fluent", *overrides)
    assert stop.value.code == 2
    assert "method.extras.low_resolution_ab: fake_b has 2 channels, real_a has 1; leave" in capfd.readouterr().err


@pytest.mark.parametrize("preset", ["crop", "scale_width", "scale_width_and_crop", "none"])
def test_presets_train(preset: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run", f"data.preset={preset}"))
    check_run_folder(tmp_path / "run")


def test_unequal_sizes_cannot_share_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB"):
        for index, size in enumerate([(32, 40), (40, 32), (32, 32)]):
            write_noise(tmp_path / "data" / folder / f"{index}.png", random, size)
    overrides = make_overrides(tmp_path / "data", tmp_path / "one", "data.preset=none")
    run(monkeypatch, "experiment=custom", *overrides)  # one by one they can be trained on
    check_run_folder(tmp_path / "one")
    overrides = make_overrides(tmp_path / "data", tmp_path / "two", "data.preset=none", "data.batch_size=3")
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "experiment=custom", *overrides)
    assert stop.value.code == 2
    assert "cannot share a batch: data.batch_size=1, or a data.preset that crops" in capfd.readouterr().err


def test_one_image_a_domain_and_a_longer_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB"):
        write_noise(tmp_path / "data" / folder / "only.png", random)
    overrides = make_overrides(tmp_path / "data", tmp_path / "run", "data.epoch_size=6", "data.batch_size=2")
    run(monkeypatch, "experiment=custom", *overrides, "trainer.limit_train_batches=1.0")
    assert load(tmp_path / "run")["diptych"]["images_seen"] == 6


def test_a_batch_may_be_larger_than_the_set(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = make_overrides(tiny_data, tmp_path / "run", "data.batch_size=64")
    run(monkeypatch, "experiment=custom", *overrides)
    assert load(tmp_path / "run")["diptych"]["images_seen"] == 5


def test_very_unequal_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    write_noise(tmp_path / "data" / "trainA" / "only.png", random)
    for index in range(40):
        write_noise(tmp_path / "data" / "trainB" / f"{index}.png", random, (16, 16))
    overrides = make_overrides(tmp_path / "data", tmp_path / "run", "data.batch_size=8")
    run(monkeypatch, "experiment=custom", *overrides, "trainer.limit_train_batches=1.0")
    assert load(tmp_path / "run")["diptych"]["images_seen"] == 40


def test_augmentation_from_yaml(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = make_overrides(
        tiny_data,
        tmp_path / "run",
        "+data.augment._target_=kornia.augmentation.ColorJiggle",
        "+data.augment.brightness=0.1",
        "+method.augmentation._target_=diptych.losses.DiffAugment",
        "+method.augmentation.policy=[colour,cutout]",
    )
    run(monkeypatch, "experiment=custom", *overrides)
    check_run_folder(tmp_path / "run")


def test_speed_and_waiting_are_logged(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = make_overrides(tiny_data, tmp_path / "run", "callbacks.data_report.every=1")
    run(monkeypatch, "experiment=custom", *overrides)
    with (tmp_path / "run" / "speed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [1, 2]
    assert all(float(row["images_per_second"]) > 0 and 0 <= float(row["data_wait"]) <= 1 for row in rows)


def test_skipped_files_are_listed_in_the_run_folder(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for folder in ("trainB", "testA", "testB"):
        (root / folder).symlink_to(tiny_data / folder)
    (root / "trainA").mkdir()
    write_noise(root / "trainA" / "good.png", np.random.default_rng(0))
    (root / "trainA" / "bad, very.png").write_bytes(b"no image")
    run(monkeypatch, "experiment=custom", *make_overrides(root, tmp_path / "run", "data.on_error=skip"))
    with (tmp_path / "run" / "skipped.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"].endswith("bad, very.png")
    assert "not a readable image" in row["reason"]
    assert "1 files are left out" in capfd.readouterr().out


ODD_NAMES = ["a b=c,d", "[é]{x}", "o'clock", '"quoted"', "~#;&!", "-dash"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_quoted_for_the_grammar(
    name: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / name
    root.symlink_to(tiny_data)
    run(monkeypatch, *prepare(["experiment=custom", *make_overrides(root, tmp_path / f"run {name}")]))
    assert len(read_rows(tmp_path / f"run {name}")) == 2


@pytest.mark.parametrize("name", sweep(ODD_NAMES, {"[é]{x}"}))
def test_odd_names_work_on_the_command_line(name: str, tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / name
    root.symlink_to(tiny_data)
    result = run_apart("experiment=custom", *make_overrides(root, tmp_path / f"run {name}"))
    assert result.returncode == 0, result.stderr
    assert len(read_rows(tmp_path / f"run {name}")) == 2


def test_a_recipe_brings_its_data_on_first_use(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(tiny_data.rglob("*.png")):
            archive.write(path, f"monet2photo/{path.relative_to(tiny_data)}")
    monkeypatch.setitem(CATALOGUE, "monet2photo", replace(CATALOGUE["monet2photo"], sha256=None, addresses=()))
    with run_server() as server:
        server.add("monet2photo.zip", packed.getvalue())
        monkeypatch.setenv("DIPTYCH_MIRROR", server.address)
        root = tmp_path / "datasets" / "monet2photo"
        for turn in range(2):
            run(monkeypatch, "experiment=monet2photo", *make_overrides(root, tmp_path / f"run{turn}"))
            check_run_folder(tmp_path / f"run{turn}")
        assert len(server.asked) == 1
    assert "monet2photo.zip" in capfd.readouterr().err
    assert (root / "trainA" / "0.png").read_bytes() == (tiny_data / "trainA" / "0.png").read_bytes()


def test_list_and_get(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "datasets").mkdir()
    with zipfile.ZipFile(tmp_path / "datasets" / "selfie2anime.zip", "w") as archive:  # put there by hand
        for path in sorted(tiny_data.rglob("*.png")):
            archive.write(path, str(path.relative_to(tiny_data)))
    assert main(["data", "get", "selfie2anime"]) == 0
    assert "train with data.root=datasets/selfie2anime" in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(name in line for line in lines) for name in CATALOGUE)
    assert [line.split()[1] for line in lines if "present" in line] == ["selfie2anime"]
    assert main(["data", "get", "horse2zebre"]) == 4
    assert "did you mean horse2zebra?" in capsys.readouterr().err
    assert main(["data", "get", "cityscapes"]) == 4
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
