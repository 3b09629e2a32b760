"""Seconds and memory of each metric, for growing sets of images, each in a process of its own.

python scripts/benchmark_metrics.py --out runs/metrics.json --images 250 1000 --size 256
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from diptych.data import Preparation, list_images
from diptych.metrics import EvaluationData, Source, evaluate, list_metrics, make_metrics
from diptych.terminal import say

DATA = Path(__file__).resolve().parent.parent / "data" / "flat2fluent"
NEEDING = {"classifier", "back"}  # more than two folders of images


def make_data(count: int, size: int) -> EvaluationData:
    """Return so many pairs of the embedded training images, again and again where there are fewer, enlarged."""
    preparation = Preparation(size, size)
    paths = {domain: list_images(DATA / f"train{domain.upper()}") for domain in "ab"}
    chosen = {domain: [files[number % len(files)] for number in range(count)] for domain, files in paths.items()}

    def load(domain: str, some: Sequence[Path]) -> Tensor:
        return torch.stack([preparation.load_for_test(path) for path in some])

    return EvaluationData({}, chosen, load)


def measure(name: str, count: int, size: int) -> dict[str, float]:
    """Return how long a metric takes, with reading the images (`l1` does little else), and the memory grown."""
    data, source = make_data(count, size), Source(lambda chunk: chunk.inputs)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    evaluate({"copies": source}, data, make_metrics([name]), anchors=False)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"images": count, "seconds": time.perf_counter() - began, "mebibytes": grown / 1024}


def list_names() -> Iterator[str]:
    """Yield the metrics that two folders of images are enough for, without a download."""
    for name, kind in list_metrics().items():
        if not (kind.needs & NEEDING or "weights" in kind.__init__.__code__.co_varnames):
            yield name


def main() -> None:
    """Measure each metric and number of images in a process of its own, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/metrics.json"))
    parser.add_argument("--images", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--metric", nargs="+")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.images[0], options.size)))
        return
    rows = []
    for name in options.metric or list_names():
        for count in options.images:
            words = ["--one", name, "--images", str(count), "--size", str(options.size)]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            rows.append({"metric": name, **json.loads(done.stdout.splitlines()[-1])})
            say(f"{name}: {count} images, {rows[-1]['seconds']:.1f} s, {rows[-1]['mebibytes']:.0f} MiB")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps({"threads": torch.get_num_threads(), "size": options.size, "rows": rows}, indent=1)
    )


if __name__ == "__main__":
    main()
