"""The benchmarks run, compare like with like, and refuse to compare what differs."""

import functools
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from PIL import Image

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
import benchmark  # noqa: E402
import benchmark_gpu  # noqa: E402
from benchmarking import training  # noqa: E402
from benchmarking.apart import call_apart, run_apart  # noqa: E402
from benchmarking.measuring import Measurement, run_in_turn, save  # noqa: E402
from benchmarking.textbook import Textbook  # noqa: E402

TINY = {
    "size": 32,  # the least that the published discriminator takes
    "batch": 1,
    "width": 4,
    "blocks": 1,
    "device": "cpu",
    "steps": 1,
}


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_textbook_and_ours_compute_the_same() -> None:
    assert training.compare_losses(Namespace(**TINY), torch.float64, 3) < 1e-9


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Textbook.step
    monkeypatch.setattr(Textbook, "step", lambda self, a, b: plain(self, a, b * 1.01))
    assert training.compare_losses(Namespace(**TINY), torch.float64, 1) > 1e-4


def test_ratios_are_taken_within_a_round() -> None:
    rates = {"slow": iter([9.0, 1.0, 2.0, 4.0]), "fast": iter([9.0, 3.0, 4.0, 16.0])}
    slow, fast = run_in_turn({name: values.__next__ for name, values in rates.items()}, rounds=3)
    assert fast.compare(slow) == [2.0, 3.0, 4.0]
    assert fast == Measurement("fast", [3.0, 4.0, 16.0])


def test_multiplications_are_counted_as_by_hand() -> None:
    """Six generator images forwards and backwards: a block's two 3×3 convolutions dominate a deep narrow network."""
    few, many = (training.count_multiplications(Namespace(**{**TINY, "blocks": blocks})) for blocks in (1, 2))
    block = 2 * (16 * 16 * 9) * (8 * 8)  # width 4·4, 32/4 pixels a side
    assert (many - few) * 1e9 == pytest.approx(6 * 3 * block)


def test_every_setting_trains_and_is_named() -> None:
    words = [f"--{key}={value}" for key, value in {**TINY, "batch": 2}.items()]
    words += ["--memory", "--precisions", "fp32", "bf16", "--layouts", "channels_last", "contiguous"]
    options = benchmark.make_parser().parse_args(["train", *words])
    settings = {str(setting): setting for setting in training.list_settings(options)}
    assert list(settings) == [
        "fp32, channels last",
        "fp32, contiguous",
        "bf16, channels last",
        "bf16, contiguous",
        "bf16, channels last, recompute",
        "bf16, channels last, accumulate 2",
    ]
    for setting in settings.values():
        assert training.make_ours(options, setting)() > 0
    assert training.make_textbook(options)() > 0


def test_variants_have_processes_of_their_own() -> None:
    (one,) = run_apart({"one": functools.partial(functools.partial, os.getpid)}, 1, "cpu")
    assert one.rates[0] != os.getpid()
    assert one.facts["peak MiB"] >= 0
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        call_apart(functools.partial(divmod, 1, 0), "cpu")


def test_measurements_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save(
        path, {"size": 32, "unit": "steps/s"}, [Measurement("textbook", [1.0, 2.0]), Measurement("diptych", [2.0, 5.0])]
    )
    assert json.loads(path.read_text())["variants"]["diptych"]["ratios"] == [2.0, 2.5]
    assert run("plot_speed.py", str(path), f"--out={tmp_path}/a.png").returncode == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 500


@pytest.mark.exhaustive
def test_training_is_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    words = [f"--{key}={value}" for key, value in {**TINY, "batch": 2}.items()]
    path = tmp_path / "a.json"
    done = run("benchmark.py", "train", *words, "--rounds=2", "--precisions=fp32", "--memory", f"--json={path}")
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())["variants"]
    assert set(record) == {
        "textbook, fp32",
        "diptych, fp32, channels last",
        "diptych, fp32, channels last, recompute",
        "diptych, fp32, channels last, accumulate 2",
    }
    for facts in record.values():
        assert len(facts["rates"]) == 2
        assert facts["peak MiB"] > 0
        assert 0 < facts["share of peak"] < 1


def test_every_table_of_a_gpu_is_a_command_of_the_benchmark() -> None:
    options = Namespace(size=256, width=64, blocks=9, device="cuda")
    tables = benchmark_gpu.list_tables(options)
    parsed = {name: benchmark.make_parser().parse_args(words) for name, words in tables.items()}
    assert {each.batch for name, each in parsed.items() if name.startswith("train")} == {1, 4, 16}
    assert all(each.device == "cuda" for each in parsed.values())


PRETENDER = """
import sys, time
from pathlib import Path
word = sys.argv[1]
time.sleep(600 if word == "endless" else 0)
Path(sys.argv[sys.argv.index("--json") + 1]).write_text("{}")
sys.exit(2 if word == "wrong" else 0)
"""


def test_a_table_of_a_gpu_is_measured_or_it_is_said_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pretender.py").write_text(PRETENDER)
    monkeypatch.setattr(benchmark_gpu, "BENCHMARK", tmp_path / "pretender.py")
    assert benchmark_gpu.measure("train, batch 1", ["good"], tmp_path, 60) == str(tmp_path / "train-batch-1.json")
    assert (tmp_path / "train-batch-1.json").is_file()
    assert benchmark_gpu.measure("x", ["endless"], tmp_path, 1) == "not measured: out of time"
    assert benchmark_gpu.measure("x", ["wrong"], tmp_path, 60) == "not measured: exit code 2"


def test_the_gpu_script_says_what_it_had_no_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tables of half a minute each, by a clock that only they move."""
    now, allowed = [0.0], []

    def measure(name: str, words: list[str], out: Path, seconds: float) -> str:
        allowed.append(seconds)
        now[0] += 30
        return f"{out}/{name}.json"

    monkeypatch.setattr(benchmark_gpu, "measure", measure)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        benchmark_gpu, "list_tables", lambda options: {name: [name] for name in ("one", "two", "three", "four")}
    )
    for minutes, code, left in ((1, 1, [55, 25]), (3, 0, [175, 145, 115, 85])):
        now[0], allowed = 0.0, []
        monkeypatch.setattr(sys, "argv", ["benchmark_gpu.py", f"--out={tmp_path}", f"--minutes={minutes}"])
        assert benchmark_gpu.main() == code
        assert allowed == left
        assert capsys.readouterr().out.count("not measured: out of time") == 4 - len(left)
