"""The door: how long it takes until a command answers."""

import argparse
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarking.measuring import Measurement, run_in_turn

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import diptych": ["-c", "import diptych"],
    "diptych --help": ["-c", "from diptych.cli import main; main(['--help'])"],
    "train.py --help": [str(ROOT / "train.py"), "--help"],
}


def time_command(words: list[str]) -> float:
    """Return how often a second the command could be run."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return 1 / (time.perf_counter() - start)


def benchmark_import(options: argparse.Namespace) -> list[Measurement]:
    """Starts per second; the seconds stand beside them."""
    measured = run_in_turn({name: partial(time_command, words) for name, words in COMMANDS.items()}, options.rounds)
    return [Measurement(m.name, m.rates, {"seconds": 1 / m.median}) for m in measured]
