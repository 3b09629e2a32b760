"""`diptych evaluate` and `diptych table`: several translators, ready outputs, protocols, tables that refuse."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_noise
from PIL import Image
from torch import Tensor

from diptych.cli import main
from diptych.inference.evaluation import name_apart
from diptych.metrics import PROTOCOLS, Batch, ImageMetric, list_metrics
from diptych.metrics.metric import METRICS
from diptych.networks import build
from diptych.networks.initialisation import initialise
from diptych.translators import NetworkTranslator

CHOSEN = ["--metric", "psnr", "l1", "copying"]


def save_translator(path: Path, seed: int, **notes: object) -> Path:
    torch.manual_seed(seed)
    network = build("ResnetGenerator", width=2, blocks=1, residual=True)
    initialise(network, init_gain=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    NetworkTranslator(network.eval(), {"direction": "ab", "size": 32, "from": "flat", "to": "fluent", **notes}).save(
        path
    )
    return path


@pytest.fixture
def translators(tmp_path: Path) -> list[str]:
    return [
        str(save_translator(tmp_path / name / "translators" / "ab.safetensors", seed))
        for seed, name in enumerate(("one", "two"))
    ]


def measure(out: Path, data: Path, *words: str) -> dict:
    assert main(["evaluate", "--data", str(data), "--out", str(out), *words]) == 0
    return json.loads(out.read_text())


def test_several_translators_stand_in_one_table(
    translators: list[str], tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = measure(tmp_path / "x.json", tiny_data, "--translator", *translators, *CHOSEN)
    assert list(record["columns"]) == ["one", "two", "copying", "blurring", "real_train_b", "real_test_b"]
    assert record["columns"]["one"]["psnr"]["value"] != record["columns"]["two"]["psnr"]["value"]
    assert record["columns"]["copying"]["copying"] == {"value": 1.0, "low": 1.0, "high": 1.0, "images": 2}
    assert list(record["metrics"]) == ["psnr", "l1", "copying"]
    assert record["protocol"]["name"] == "default"
    assert record["files"]["one"] == translators[0]
    assert len(record["reals"]["sha256"]) == 64
    assert "torch" in record["versions"]
    said = capsys.readouterr().out
    assert "protocol default: reals from test B, the size of training" in said
    alone = measure(tmp_path / "y.json", tiny_data, "--translator", translators[1], *CHOSEN)
    assert alone["columns"]["output"] == record["columns"]["two"]


def test_ready_outputs_are_measured_by_the_same_rule(translators: list[str], tiny_data: Path, tmp_path: Path) -> None:
    """A translator's own files, under the names that others give them."""
    size, out = ["--size", "32"], tmp_path / "ready"
    assert (
        main(["translate", str(tiny_data / "testA"), "--translator", translators[0], "--out", str(tmp_path / "t")]) == 0
    )
    for path in (tmp_path / "t").iterdir():
        out.mkdir(exist_ok=True)
        with Image.open(path) as image:
            image.resize((32, 32), Image.Resampling.BICUBIC).save(out / f"{path.stem}_fake_B.png")
    files = measure(tmp_path / "x.json", tiny_data, "--images", str(out), *size, *CHOSEN)["columns"]
    copies = measure(tmp_path / "y.json", tiny_data, "--images", str(tiny_data / "testA"), *size, *CHOSEN)["columns"]
    assert files["output"]["copying"]["value"] < 1
    assert copies["output"] == copies["copying"]


def test_outputs_of_nobody_knows_what_are_a_set(tiny_data: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_noise(tmp_path / "set" / f"out{number}.png", np.random.default_rng(number))
    words = ["--metric", "psnr", "swd", "saturation"]
    record = measure(tmp_path / "x.json", tiny_data, "--images", str(tmp_path / "set"), "--size", "32", *words)
    assert set(record["columns"]["output"]) == {"swd", "saturation"}
    assert record["columns"]["output"]["swd"]["images"] == 3


@pytest.mark.parametrize(
    ("files", "said"),
    [(["0.png"], "there is no output of 1.png"), (["0_a.png", "0_b.png", "1.png"], "0_a.png and 0_b.png both are")],
)
def test_outputs_that_are_missing_or_double_are_named(
    files: list[str], said: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in files:
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "set" / file)
    words = ["--images", str(tmp_path / "set"), "--data", str(tiny_data), "--out", str(tmp_path / "x.json")]
    assert main(["evaluate", *words]) == 4
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "psnr", "sdw"], "there is no metric sdw (did you mean 'swd'?); there are"),
        (["--protocol", "cut"], "there is no protocol cut (did you mean 'cut256'?); there are default, cut256"),
        (["--weights", "psnr"], "--weights psnr: write METRIC=FILE"),
        (["--weights", "pnsr=x"], "pnsr is not measured (did you mean 'psnr'?)"),
        (["--weights", "psnr=x"], "psnr looks with no network and takes no weights"),
        (["--out", "x.html"], "x.html: a table ends in .json, .csv, .md, .tex"),
    ],
)
def test_mistakes_are_said_before_anything_is_measured(
    words: list[str], said: str, tiny_data: Path, translators: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--translator", translators[0], "--data", str(tiny_data), *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_nothing_to_measure_is_refused(tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--data", str(tiny_data)]) == 2
    assert "evaluate needs --translator FILE or --images DIR" in capsys.readouterr().err


def test_translators_of_different_sizes_are_not_measured_alike(
    translators: list[str], tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(save_translator(tmp_path / "other" / "ab.safetensors", 0, size=16))
    words = ["evaluate", "--translator", translators[0], other, "--data", str(tiny_data), *CHOSEN]
    assert main([*words, "--out", str(tmp_path / "x.json")]) == 2
    assert "were trained with size 32 and 16; measure them one by one, or give --size" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "x.json"), "--size", "32"]) == 0


def test_tables_are_written_for_papers_and_spreadsheets(
    translators: list[str], tiny_data: Path, tmp_path: Path
) -> None:
    written = {}
    for ending in ("json", "csv", "md", "tex"):
        out = tmp_path / f"x.{ending}"
        words = ["--data", str(tiny_data), "--translator", *translators, "--out", str(out), *CHOSEN]
        assert main(["evaluate", *words]) == 0
        written[ending] = out.read_text()
    record = json.loads(written["json"])
    rows = list(csv.DictReader(written["csv"].splitlines()))
    value = record["columns"]["two"]["psnr"]["value"]
    assert [float(row["value"]) for row in rows if (row["of"], row["metric"]) == ("two", "psnr")] == [value]
    lines = written["md"].splitlines()
    assert lines[0] == "| psnr ↑ | l1 ↓ | copying ↓ |".replace("| psnr", "|  | psnr")
    assert lines[1] == "|---|---:|---:|---:|"
    assert any(line.startswith(f"| two | {value:.2f} ± ") for line in lines)
    assert "Protocol default: 2 outputs against 2 real images (test)" in lines[-1]
    assert "real\\_test\\_b" not in written["tex"]  # nothing was measured of it
    assert "two & " in written["tex"]
    assert written["tex"].startswith("\\begin{tabular}{lrrr}")


def test_numbers_of_different_protocols_do_not_stand_side_by_side(
    translators: list[str], tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / f"{name}.json") for name in ("one", "two", "three")]
    measure(Path(files[0]), tiny_data, "--translator", translators[0], *CHOSEN)
    measure(Path(files[1]), tiny_data, "--translator", translators[1], *CHOSEN)
    measure(Path(files[2]), tiny_data, "--translator", translators[1], "--metric", "psnr")
    assert main(["table", *files[:2], "--out", str(tmp_path / "all.json")]) == 0
    joined = json.loads((tmp_path / "all.json").read_text())
    assert list(joined["columns"])[:2] == ["one", "copying"]
    assert joined["columns"]["two"] == json.loads(Path(files[1]).read_text())["columns"]["output"]
    assert main(["table", *files, "--out", str(tmp_path / "no.md")]) == 2
    assert "one and three are of different protocols" in capsys.readouterr().err
    assert not (tmp_path / "no.md").exists()
    (tmp_path / "bad.json").write_text("[1")
    assert main(["table", str(tmp_path / "bad.json"), "--out", str(tmp_path / "no.md")]) == 5
    assert "bad.json: diptych evaluate has not written it" in capsys.readouterr().err


def test_titles_are_what_paths_do_not_share() -> None:
    runs = [Path("runs/x/2026/translators/ab.safetensors"), Path("runs/y/2026/translators/ab.safetensors")]
    assert name_apart(runs) == ["x", "y"]
    assert name_apart([Path("a/b.ckpt")]) == ["output"]
    assert name_apart([Path("a/b"), Path("a/b/c")]) == ["b", "b/c"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_can_be_made(name: str) -> None:
    assert set(PROTOCOLS[name].metrics) <= set(list_metrics())
    assert PROTOCOLS[name].describe()["name"] == name
    assert PROTOCOLS[name].source


def test_the_worst_outputs_are_shown(translators: list[str], tiny_data: Path, tmp_path: Path) -> None:
    measure(tmp_path / "x.json", tiny_data, "--translator", translators[0], *CHOSEN, "--worst", str(tmp_path / "worst"))
    assert sorted(path.name for path in (tmp_path / "worst").iterdir()) == ["copying.png", "l1.png", "psnr.png"]
    with Image.open(tmp_path / "worst" / "psnr.png") as sheet:
        assert sheet.size == (3 * 258 + 2, 2 * 258 + 18)  # input, output and truth of two images


class Looking(ImageMetric):
    """Looks with a network, as it says, and counts how often at real images."""

    title = "looking"
    needs = frozenset({"reals"})
    looked = 0

    def describe(self, batch: Batch) -> Tensor:
        return batch.outputs.mean((1, 2, 3))

    def describe_reals(self, batch: Batch) -> Tensor:
        type(self).looked += len(batch.outputs)
        return self.describe(batch)

    def describe_network(self) -> dict[str, str]:
        return {"network": "mean", "sha256": "0"}


def test_what_a_network_sees_in_real_images_is_kept(
    tiny_data: Path, translators: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Looking, "name", "looking", raising=False)
    monkeypatch.setitem(METRICS, "looking", Looking)
    words = ["--translator", translators[0], "--metric", "looking"]
    first = measure(tmp_path / "x.json", tiny_data, *words)
    assert Looking.looked == 2
    assert measure(tmp_path / "y.json", tiny_data, *words) == first
    assert Looking.looked == 2
    assert first["metrics"]["looking"]["network"] == {"network": "mean", "sha256": "0"}
    (kept,) = (tmp_path / "cache" / "diptych" / "statistics").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert measure(tmp_path / "z.json", tiny_data, *words) == first
    assert Looking.looked == 4
    assert kept.read_bytes()[-1:] == whole[-1:]  # mended
    measure(tmp_path / "z.json", tiny_data, *words, "--size", "16")
    assert Looking.looked == 6
