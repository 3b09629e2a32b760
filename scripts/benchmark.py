"""How fast it is: every variant in turn within one run, so that only ratios are compared.

python scripts/benchmark.py load --json load.json
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from diptych.data import UnpairedData

Variant = Callable[[], float]


@dataclass(frozen=True)
class Measurement:
    """A variant's rates, one per round, of so many things per second."""

    name: str
    rates: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    def compare(self, baseline: "Measurement") -> list[float]:
        """Return the ratios to the baseline, sorted, each within its round."""
        return sorted(own / other for own, other in zip(self.rates, baseline.rates, strict=True))


def run_in_turn(variants: dict[str, Variant], rounds: int) -> list[Measurement]:
    """Run A B C, A B C, …, after one round that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in variants}
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=(rounds + 1) * len(variants))
        for turn in range(rounds + 1):
            for name, variant in variants.items():
                rate = variant()
                if turn:
                    rates[name].append(rate)
                progress.advance(task)
    return [Measurement(name, values) for name, values in rates.items()]


def show(title: str, unit: str, measurements: Sequence[Measurement]) -> None:
    """Print a table with the first variant as the baseline."""
    table = Table(title=title)
    for heading in ("variant", unit, "ratio", "lowest … highest ratio"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for each in measurements:
        ratios = each.compare(measurements[0])
        spread = f"{ratios[0]:.2f} … {ratios[-1]:.2f}"
        table.add_row(each.name, f"{each.median:.1f}", f"{statistics.median(ratios):.2f}", spread)
    Console().print(table)


def save(path: Path, settings: Mapping[str, object], measurements: Sequence[Measurement]) -> None:
    """Write settings, rates and ratios for those who want to plot them."""
    record = {
        "settings": {**settings, "torch": torch.__version__, "threads": torch.get_num_threads()},
        "variants": {m.name: {"rates": m.rates, "ratios": m.compare(measurements[0])} for m in measurements},
    }
    path.write_text(json.dumps(record, indent=2) + "\n")


def make_photographs(root: Path, count: int, size: int) -> None:
    """Write JPEGs with detail at every scale, as photographs have, into trainA/all and trainB/all."""
    random = np.random.default_rng(0)
    for index in range(count):
        layers = [Image.fromarray(random.integers(0, 256, (s, s, 3), dtype=np.uint8)) for s in (8, 64, 512)]
        large = [np.asarray(layer.resize((size, size), Image.Resampling.BICUBIC), np.float32) for layer in layers]
        picture = Image.fromarray((0.6 * large[0] + 0.3 * large[1] + 0.1 * large[2]).astype(np.uint8))
        folder = root / f"train{'AB'[index % 2]}" / "all"
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{index:04d}.jpg", quality=90)


def measure_rate(loader: DataLoader[Any], count: Callable[[Any], int]) -> float:
    """Return images per second of one pass, the loader's start included."""
    start = time.perf_counter()
    images = sum(count(batch) for batch in loader)
    return images / (time.perf_counter() - start)


def load_with_torchvision(root: Path, options: argparse.Namespace) -> float:
    """Read both folders as the textbook does."""
    steps = transforms.Compose(
        [
            transforms.Resize((options.load_size,) * 2, transforms.InterpolationMode.BICUBIC),
            transforms.RandomCrop(options.crop_size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    images: torch.utils.data.Dataset[object] = torch.utils.data.ConcatDataset(
        [datasets.ImageFolder(str(root / folder), steps) for folder in ("trainA", "trainB")]
    )
    loader = DataLoader(images, batch_size=2 * options.batch_size, shuffle=True, num_workers=options.workers)
    return measure_rate(loader, lambda batch: len(batch[0]))


def load_with_diptych(root: Path, options: argparse.Namespace, cache_dir: Path | None) -> float:
    """Read pairs of images, from the cache folder if one is given."""
    data = UnpairedData(
        str(root),
        load_size=options.load_size,
        crop_size=options.crop_size,
        batch_size=options.batch_size,
        workers=options.workers,
        cache=cache_dir is not None,
        cache_dir=str(cache_dir) if cache_dir else None,
    )
    # What torchvision does in the loader, the data module does on arrival: floats in [-1, 1].
    return measure_rate(data.train_dataloader(), lambda batch: 2 * len(data.on_after_batch_transfer(batch, 0)["a"]))


def benchmark_load(options: argparse.Namespace) -> list[Measurement]:
    """Images per second of a pass over JPEGs, decoded and from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        make_photographs(root, options.count, options.size)

        def fill_cache() -> float:
            with tempfile.TemporaryDirectory(dir=folder) as empty:
                return load_with_diptych(root, options, Path(empty))

        variants: dict[str, Variant] = {
            "torchvision ImageFolder": lambda: load_with_torchvision(root, options),
            "diptych, no cache": lambda: load_with_diptych(root, options, None),
            "diptych, first pass into an empty cache": fill_cache,
            "diptych, cached": lambda: load_with_diptych(root, options, Path(folder, "cache")),
        }
        return run_in_turn(variants, options.rounds)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    load = commands.add_parser("load", help="decoding, resizing and cropping JPEGs")
    load.add_argument("--size", type=int, default=1024, help="of the JPEGs (default 1024)")
    load.add_argument("--load-size", type=int, default=286)
    load.add_argument("--crop-size", type=int, default=256)
    load.add_argument("--count", type=int, default=64, help="JPEGs (default 64)")
    load.add_argument("--batch-size", type=int, default=1)
    load.add_argument("--workers", type=int, default=0)
    load.set_defaults(run=benchmark_load, unit="images/s")
    for command in (load,):
        command.add_argument("--rounds", type=int, default=5)
        command.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    measurements = options.run(options)
    settings = {key: value for key, value in vars(options).items() if isinstance(value, int | float | str)}
    show(", ".join(f"{key} {value}" for key, value in settings.items() if key != "unit"), options.unit, measurements)
    if options.json:
        save(options.json, settings, measurements)


if __name__ == "__main__":
    main()
