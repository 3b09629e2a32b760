"""Loading: JPEGs on disk to batches of floats."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarking.measuring import Measurement, Variant, run_in_turn
from diptych.data import UnpairedData


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
