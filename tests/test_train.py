"""The whole: every recipe and every part through the real entry point, resumed, swept, and misused."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY_NETWORKS
from PIL import Image
from torch import Tensor

from diptych.cli import main
from diptych.metrics import Score
from diptych.signals import give_back, stop_at_once, take_signals
from diptych.training.recall import recall_recipe
from diptych.translators.header import FORMAT

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
sys.path.insert(0, str(ROOT))
import train  # noqa: E402

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
GROUPS = ("generator", "discriminator", "logger", "trainer", "callbacks", "method", "data")
PARTS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
RANDOM = ["method.encoder.weights=random", "method.encoder.kind=small"]
SWITCHES = [
    "precision=bf16",
    "precision=auto",
    "channels_last=false",
    "recompute=true accumulate=2 data.batch_size=2",
    "method=johnson method.weights.generator.adversarial_ab=1.0e+9 precision=bf16 " + " ".join(RANDOM),
    "method=wct method.deepest=2 method.levels=1 precision=bf16 " + " ".join(RANDOM),
    "method=dumoulin generator.styles=3 precision=bf16 " + " ".join(RANDOM),
    "generator.norm=batch generator.dropout=true ~callbacks.ema",
    "generator.upsampling=antialias generator.downsampling=antialias discriminator.spectral_norm=true",
    "method.adversarial._target_=diptych.losses.Hinge method.init=orthogonal data.swap=true",
    "method=cut method.projector.selection=attention precision=bf16",
    "method=cut +method.contrastive.negatives._target_=diptych.losses.Transport data.batch_size=2 accumulate=2",
    "method=dclgan recompute=true",
    "method=pix2pix data.paired=true generator.depth=3 callbacks.alarms.every=1",
    "+method.extras.style._target_=diptych.methods.Extra +method.extras.style.image=fake_b "
    "+method.extras.style.reference=real_b +method.extras.style.loss._target_=diptych.losses.GramStyle "
    "+method.extras.style.loss.layers={relu1_1:1,relu2_1:0.5} +method.extras.style.weight=2 "
    "+method.extras.style.loss.encoder={_target_:diptych.networks.Vgg,kind:vgg16,weights:random}",
    "+extra=[gram,moments,sliced,perceptual,colour,edges,low_resolution,ssim,total_variation]",
    "discriminator=multiscale callbacks.alarms.every=1",
    "method=encoder_decoder data.paired=true generator.blocks=0 recompute=true",
    "method=fusion method.encoder.weights=random method.encoder.kind=vgg16 method.width=4 method.fusion=concatenate "
    "method.encoder.rescale=true precision=bf16 accumulate=2 data.batch_size=2",
    "method=adain method.encoder.weights=random method.encoder.kind=vgg16 precision=bf16",
    "method=dumoulin generator.styles=3 +encoder=efficientnet method.content.layers=null method.style.layers=null",
    "method=wct +encoder=efficientnet method.deepest=2 method.levels=2 method.encoder.weights=random precision=bf16",
    "method=adain +encoder=efficientnet method.deepest=2 accumulate=2 data.batch_size=2",
    "+extra=gram method.extras.gram.loss.encoder={_target_:diptych.networks.EfficientNetLite,weights:imagenet}",
    "method.schedule.shape=cosine data.batch_size=2 data.flip=false data.workers=1 data.cache=false",
]
NEEDS = {  # what a method does not do without
    "method=pix2pix": ["data.paired=true", "generator.depth=3"],
    "method=encoder_decoder": ["data.paired=true"],
    "method=adain": RANDOM,
    "method=wct": RANDOM,
    "method=fusion": [*RANDOM, "method.width=4"],
    "method=johnson": RANDOM,
    "method=dumoulin": [*RANDOM, "generator.styles=3"],
}


def make_overrides(data: Path, run_dir: Path, *more: str) -> list[str]:
    """Scale a recipe down to two batches of 16 pixels."""
    return [
        f"data.root={data}",
        f"run_dir={run_dir}",
        "data.load_size=18",
        "data.crop_size=16",
        "data.workers=0",
        "method.schedule.epochs=1",
        "method.schedule.decay_epochs=0",
        "trainer.limit_train_batches=2",
        "trainer.log_every_n_steps=1",
        "callbacks.samples.every=2",
        "callbacks.samples.count=2",
        "callbacks.finish.evaluation=false",
        *TINY_NETWORKS,
        *more,
    ]


def run(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Call the entry point as the command line does."""
    before = take_signals(stop_at_once)
    try:
        with train.explained():
            monkeypatch.setattr(sys, "argv", ["train.py", *recall_recipe(list(overrides), CONF, train.OmegaConf.load)])
            train.main()
    finally:
        give_back(before)


def run_apart(*overrides: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "train.py", *overrides]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False)


def read_rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def load(run_dir: Path) -> dict:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)


def check_run_folder(run_dir: Path, iterations: int = 2) -> None:
    for name in ("config.yaml", "checkpoints/last.ckpt", "translators/ab.safetensors", "metrics.csv"):
        assert (run_dir / name).is_file(), name
    with Image.open(run_dir / "samples" / "final.png") as picture:
        assert len(picture.getcolors(maxcolors=1 << 24) or []) > 100
    assert (run_dir / "samples" / f"{iterations:07d}.png").is_file()
    rows = read_rows(run_dir)
    assert [int(float(row["iteration"])) for row in rows] == list(range(1, iterations + 1))
    terms = [name for name in rows[0] if re.match("(generator|decoder|[a-z]+_autoencoder)/", name)]
    assert terms
    assert all(float(row[term]) != 0 for row in rows for term in terms)
    assert all(float(row[term]) > 0 for row in rows for term in terms if "adversarial" not in term)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_recipe_trains(experiment: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, f"experiment={experiment}", *make_overrides(tiny_data, tmp_path / "run"))
    check_run_folder(tmp_path / "run")
    first_lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[:2]
    assert first_lines[1].startswith(f"# python train.py experiment={experiment}")


@pytest.mark.parametrize("part", PARTS + SWITCHES)
def test_every_part_trains(part: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if part in ("trainer=gpu", "trainer=ddp") and not torch.cuda.is_available():
        part = f"{part} trainer.accelerator=cpu trainer.devices=1"
    more = part.split() + (["generator.depth=3"] if part == "generator=unet" else [])
    more += NEEDS.get(part, [])
    run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run", *more))
    check_run_folder(tmp_path / "run")
    if part.startswith("method="):
        translate = ["translate", str(tiny_data / "testA"), "--out", str(tmp_path / "translated")]
        assert main([*translate, "--translator", str(tmp_path / "run" / "translators" / "ab.safetensors")]) == 0
        assert len(list((tmp_path / "translated").iterdir())) == len(list((tiny_data / "testA").iterdir()))


def test_a_run_is_evaluated_and_named(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("diptych.metrics.domain_classifier._STEPS", 20)  # whether it learns is asked elsewhere
    monkeypatch.setattr("diptych.metrics.swd.SlicedWasserstein.score", lambda *_: Score(0.25, 0.0, 2))
    more = ("callbacks.finish.evaluation=true", "domains=[day,night]")
    run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run", *more))
    told = capfd.readouterr().out
    assert "day → night" in told
    assert told.count("classified as night") == told.count("classified as day") == 1
    assert "as B" not in told
    assert f"diptych translate YOUR_IMAGES --translator {tmp_path}/run/translators/ab.safetensors" in told
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(scores) == {"ab", "ba"}
    assert 0 < scores["ab"]["columns"]["output"]["psnr"]["value"] < 50
    assert scores["ab"]["columns"]["copying"]["copying"]["value"] == 1


def assert_equal(one: object, other: object, path: str = "") -> None:
    """Compare nested states; tensors to rounding in float64."""
    if isinstance(one, Tensor):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8, msg=lambda text: f"{path}: {text}")
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list):
        assert isinstance(other, list)
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{path}[{index}]")
    else:
        assert one == other, path


def test_a_resumed_run_goes_on_where_it_stopped(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs at once, and one epoch resumed for the second, end in the same state."""
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    longer = ["trainer.limit_train_batches=1.0", "method.schedule.epochs=1", "method.schedule.decay_epochs=1"]
    run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, whole, *longer))
    stop = ["callbacks.checkpoint.every=3", "method.pool_size=2"]
    run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, halved, *longer[:1], *stop))
    first = load(halved)
    assert first["diptych"]["iteration"] == 5
    assert first["diptych"]["format"] == FORMAT
    assert len(first["diptych"]["processes"][0]["extra_state"]["pool_a"]["images"]) == 2
    assert first["callbacks"]["EMA"]["updates"] == 5
    resumed = make_overrides(tiny_data, halved, *longer, "resume=auto", "resume_changes=allow", "method.pool_size=2")
    run(monkeypatch, "experiment=custom", *resumed)
    second = load(halved)
    assert second["diptych"]["iteration"] == second["diptych"]["images_seen"] == 10
    assert second["callbacks"]["EMA"]["updates"] == 10
    assert [float(row["iteration"]) for row in read_rows(halved)] == list(range(1, 11))
    assert float(read_rows(halved)[-1]["learning_rate"]) == pytest.approx(1e-4)
    assert_equal(
        {key: value.shape for key, value in load(whole)["state_dict"].items()},
        {key: value.shape for key, value in second["state_dict"].items()},
    )


def test_two_processes_give_the_gradients_of_one(tiny_data: Path, tmp_path: Path) -> None:
    """Batch 1 on each of two gloo processes equals batch 2 on one, in every moment of both Adams."""
    common = ["experiment=custom", "method.pool_size=0", "trainer.precision=64-true"]
    processes = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=1"]
    for name, more in (("one", ["trainer=cpu", "data.batch_size=2"]), ("two", processes)):
        result = run_apart(*common, *make_overrides(tiny_data, tmp_path / name, *more))
        assert result.returncode == 0, result.stderr
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert one["diptych"]["images_seen"] == two["diptych"]["images_seen"] == 4
    assert_equal(one["optimizer_states"], two["optimizer_states"])
    assert_equal(one["state_dict"], two["state_dict"])


def test_a_grid_makes_a_folder_per_job(tiny_data: Path, tmp_path: Path) -> None:
    result = run_apart("-m", "experiment=custom", *make_overrides(tiny_data, tmp_path / "grid"), "seed=1,2")
    assert result.returncode == 0, result.stderr
    weights = []
    for job in ("seed=1", "seed=2"):
        check_run_folder(tmp_path / "grid" / job)
        weights.append(load(tmp_path / "grid" / job)["state_dict"]["generator_ab.model.1.weight"])
    assert not torch.equal(*weights)


def test_help_explains_groups_and_overrides() -> None:
    result = run_apart("--help")
    assert result.returncode == 0
    for word in ("experiment:", "monet2photo", "method.weights.generator.cycle_a=5", "resume=auto"):
        assert word in result.stdout


MISTAKES = [
    (
        ["method=fusion", "method.content.layers={relu3_1:1.0}"],
        2,
        r"method\.content\.layers has no relu3_1 yet: \+method\.content\.layers\.relu3_1=VALUE adds it, ~method",
    ),
    (["generator.widht=3"], 2, r"there is no key generator\.widht .*did you mean generator\.width\?"),
    (
        ["experiment=custom", "method=pix2pix", "generator.blocks=3"],
        2,
        r"no key generator\.blocks in the configuration; ",
    ),
    (["experiment=mone2photo"], 2, r"no experiment=mone2photo \(did you mean 'monet2photo'\?\); there are .*maps"),
    (["experiment=monet2photo", "data.root=/nowhere", "data.download=null"], 4, r"/nowhere/trainA: no such folder"),
    (["experiment=cityscapes", "data.root=/tmp/nowhere"], 4, r"cityscapes cannot be downloaded from here"),
    (["data.root=é"], 2, r"data\.root=é cannot be understood; .*quote it: data\.root='\"é\"'"),
    (["experiment=custom"], 2, r"set data\.root, or data\.path_a and data\.path_b"),
    (["generator.network=Resnet"], 2, r"unknown network 'Resnet'"),
    (["method.weights.generator.cycle_a=null"], 2, r"cycle_a"),
    (["precision=fp8"], 2, r"'fp8' is not one of auto, fp32, bf16"),
    (["resume=/nowhere.ckpt"], 5, r"/nowhere\.ckpt: no such checkpoint"),
]


@pytest.mark.parametrize(("overrides", "code", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistakes_become_one_line(
    overrides: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, f"run_dir={tmp_path / 'run'}", *overrides)
    assert stop.value.code == code
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bad.png").write_bytes(b"not an image")
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "experiment=custom", *make_overrides(tmp_path, tmp_path / "run", f"data.workers={workers}"))
    assert stop.value.code == 4
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert re.search(r"^error: \S*bad\.png: not a readable image[^\n]*$", told, re.MULTILINE)
