"""Every speed table of a GPU in one call of at most ten minutes: training at batches 1, 4 and 16, and a folder.

python scripts/benchmark_gpu.py --out experiments/speed/gpu
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

BENCHMARK = Path(__file__).with_name("benchmark.py")
SPARE = 5.0  # seconds that are kept for ending


def list_tables(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command lines by the table's name, what matters most first."""
    shape = ["--size", options.size, "--width", options.width, "--blocks", options.blocks, "--device", options.device]
    train = ["train", *shape, "--rounds", "3"]
    layouts = ["--layouts", "channels_last", "contiguous"]
    tables = {
        "train, batch 1": [*train, "--batch", "1", "--steps", "10", "--precisions", "fp32", "bf16", *layouts],
        "train, batch 16": [*train, "--batch", "16", "--steps", "3", "--precisions", "fp32", "bf16"],
        "train, batch 1, compiled": [*train, "--batch", "1", "--steps", "10", "--precisions", "bf16", "--compile"],
        "train, batch 16, compiled": [*train, "--batch", "16", "--steps", "3", "--precisions", "bf16", "--compile"],
        "train, batch 4": [*train, "--batch", "4", "--steps", "5", "--precisions", "bf16", "--memory"],
        "translate a folder": ["translate", *shape, "--count", "64", "--rounds", "3", "--batch", "16"],
    }
    tables["translate a folder"] += ["--engines", "torch", "--precisions", "fp32", "bf16"]
    return {name: [str(word) for word in words] for name, words in tables.items()}


def measure(name: str, words: list[str], out: Path, seconds: float) -> str:
    """Run a table's command for at most so long; return what became of it."""
    path = out / f"{name.replace(', ', '-').replace(' ', '-')}.json"
    command = [sys.executable, str(BENCHMARK), *words, "--json", str(path)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "not measured: out of time"
    return str(path) if code == 0 else f"not measured: exit code {code}"


def main() -> int:
    """Measure what the time suffices for; say what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for a JSON file per table")
    parser.add_argument("--minutes", type=float, default=9.5, help="at most (default 9.5)")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    for name, default in (("size", 256), ("width", 64), ("blocks", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes - SPARE
    outcomes = {}
    for name, words in list_tables(options).items():
        left = deadline - time.monotonic()
        outcomes[name] = measure(name, words, options.out, left) if left > 0 else "not measured: out of time"
    table = Table("table", "result")
    for name, outcome in outcomes.items():
        table.add_row(name, outcome)
    Console().print(table)
    return 0 if all(not outcome.startswith("not measured") for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
