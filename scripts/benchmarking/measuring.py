"""Variants in turn within one run, so that only ratios are compared; the machine's own speed beside them."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.nn.functional import conv2d

Variant = Callable[[], float]


@dataclass(frozen=True)
class Measurement:
    """A variant's rates, one per round, of so many things per second, and other facts about it."""

    name: str
    rates: list[float]
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    def compare(self, baseline: "Measurement") -> list[float]:
        """Return the ratios to the baseline, sorted, each within its round."""
        return sorted(own / other for own, other in zip(self.rates, baseline.rates, strict=True))


def run_in_turn(variants: Mapping[str, Variant], rounds: int, warm_up: int = 1) -> list[Measurement]:
    """Run A B C, A B C, …, after rounds that do not count."""
    rates: dict[str, list[float]] = {name: [] for name in variants}
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=(rounds + warm_up) * len(variants))
        for turn in range(rounds + warm_up):
            for name, variant in variants.items():
                progress.update(task, description=name)
                rate = variant()
                if turn >= warm_up:
                    rates[name].append(rate)
                progress.advance(task)
    return [Measurement(name, values) for name, values in rates.items()]


def show(title: str, unit: str, measurements: Sequence[Measurement]) -> None:
    """Print a table with the first variant as the baseline."""
    table = Table(title=title)
    facts = list(dict.fromkeys(name for each in measurements for name in each.facts))
    for heading in ("variant", unit, "ratio", "lowest … highest", *facts):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for each in measurements:
        ratios = each.compare(measurements[0])
        spread = f"{ratios[0]:.2f} … {ratios[-1]:.2f}"
        cells = [format_number(each.facts[name]) if name in each.facts else "" for name in facts]
        table.add_row(each.name, format_number(each.median), f"{statistics.median(ratios):.2f}", spread, *cells)
    Console().print(table)


def format_number(value: float) -> str:
    """Return three digits, never as a power of ten."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def save(path: Path, settings: Mapping[str, object], measurements: Sequence[Measurement]) -> None:
    """Write settings, rates and ratios for those who want to plot them."""
    record = {
        "settings": {**settings, **describe_machine()},
        "variants": {m.name: {"rates": m.rates, "ratios": m.compare(measurements[0]), **m.facts} for m in measurements},
    }
    path.write_text(json.dumps(record, indent=2) + "\n")


def describe_machine() -> dict[str, object]:
    """Return what a reader must know to place the figures."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "cores": os.cpu_count(), "device": device}


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU still does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_call(call: Callable[[], object], device: torch.device, repeats: int = 1) -> float:
    """Return seconds per call."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    synchronise(device)
    return (time.perf_counter() - start) / repeats


def measure_peaks(word: str, precision: str) -> dict[str, float]:
    """Return the rates, in 10⁹ multiply-adds per second, of one large matrix product and one large convolution."""
    device, dtype = torch.device(word), {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    large = 8192 if device.type == "cuda" else 1536
    one, other = (torch.randn(large, large, device=device, dtype=dtype) for _ in range(2))
    layout = torch.channels_last
    images = torch.randn(64 if device.type == "cuda" else 1, 256, 64, 64, device=device, dtype=dtype)
    weights = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
    images, weights = images.to(memory_format=layout), weights.to(memory_format=layout)
    work = {
        "matrix": (large**3, lambda: one @ other),
        "convolution": (images.shape[0] * 256 * 256 * 9 * 64 * 64, lambda: conv2d(images, weights, padding=1)),
    }
    torch.set_float32_matmul_precision("high")  # TF32 where there is such a thing
    torch.backends.cudnn.benchmark = True
    with torch.no_grad():
        return {
            name: amount / min(time_call(call, device, 3) for _ in range(4)) / 1e9
            for name, (amount, call) in work.items()
        }
