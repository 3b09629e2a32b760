"""A training step: the textbook's, and ours as `train.py` runs it."""

import argparse
import functools
import gc
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarking.apart import Make, call_apart, run_apart
from benchmarking.measuring import Measurement, Variant, measure_peaks, synchronise
from benchmarking.textbook import Textbook
from diptych.callbacks import EMA, FiniteGuard
from diptych.losses import LeastSquares
from diptych.methods import CycleGAN, Schedule
from diptych.training.allocation import keep_freed_memory
from diptych.training.machine import choose_precision
from diptych.training.memory import MemoryOptions
from diptych.training.run import compile_networks, set_memory_format

WEIGHTS = {
    "generator": {
        **{f"adversarial_{direction}": 1.0 for direction in ("ab", "ba")},
        **{f"cycle_{domain}": 10.0 for domain in "ab"},
        **{f"identity_{domain}": 5.0 for domain in "ab"},
    },
    "discriminator": {"adversarial_a": 1.0, "adversarial_b": 1.0},
}
PLAIN = MemoryOptions()
TOLERANCES = (1e-5, 1e-8)  # relative: of the first losses in fp32, of the third in fp64, as Adam amplifies rounding


class Clock(Callback):
    """Times the batches of a run, and keeps the losses."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.losses: list[dict[str, Tensor]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronise(pl_module.device)
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        weights = {f"{player}/{name}": weight for player, terms in WEIGHTS.items() for name, weight in terms.items()}
        self.losses.append({name: weights[name] * trainer.callback_metrics[name] for name in weights})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronise(pl_module.device)
        self.seconds = time.perf_counter() - self._start


def make_batches(options: argparse.Namespace, steps: int) -> list[dict[str, Tensor]]:
    """Return batches of smooth noise in [-1, 1]."""
    random = torch.Generator().manual_seed(0)
    shape = (options.batch, 3, options.size, options.size)
    return [
        {
            domain: torch.nn.functional.avg_pool2d(torch.randn(shape, generator=random), 5, 1, 2).clamp(-1, 1)
            for domain in "ab"
        }
        for _ in range(steps)
    ]


@dataclass(frozen=True)
class Setting:
    """How ours is run."""

    precision: str = "fp32"
    channels_last: bool = True
    compiled: bool = False
    memory: MemoryOptions = PLAIN

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "contiguous"
        words = [self.precision, layout, *(["compiled"] if self.compiled else [])]
        words += ["recompute"] if self.memory.recompute else []
        words += [f"accumulate {self.memory.micro_batches}"] if self.memory.micro_batches > 1 else []
        return ", ".join(words)


def make_method(options: argparse.Namespace, setting: Setting) -> CycleGAN:
    """Return the published CycleGAN with the weights of seed 0, set up as `train.py` does."""
    torch.set_float32_matmul_precision("high")
    keep_freed_memory()
    torch.manual_seed(0)
    adam = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)
    method = CycleGAN(
        generator={"network": "ResnetGenerator", "width": options.width, "blocks": options.blocks},
        discriminator={"network": "PatchDiscriminator", "width": options.width},
        adversarial=LeastSquares(),
        weights=WEIGHTS,
        optimizer={"generator": adam, "discriminator": adam},
        schedule=Schedule(100, 100),
        pool_size=0,
    )
    set_memory_format(method, setting.channels_last)
    setting.memory.apply(method)
    if setting.compiled:
        compile_networks(method)
    return method


def run_ours(method: CycleGAN, batches: list[dict[str, Tensor]], options: argparse.Namespace, precision: str) -> Clock:
    """Train on the batches as `train.py` would."""
    clock = Clock()
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision="64-true" if precision == "fp64" else choose_precision(precision),  # type: ignore[arg-type]
        max_epochs=1,
        logger=False,
        benchmark=True,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EMA(), FiniteGuard(), clock],
    )
    trainer.fit(method, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return clock


def run_textbook(textbook: Textbook, batches: list[dict[str, Tensor]], device: torch.device) -> list[dict[str, Tensor]]:
    """Train on the batches as the textbook says."""
    return [textbook.step(batch["a"].to(device), batch["b"].to(device)) for batch in batches]


def check_equal(options: argparse.Namespace) -> tuple[float, float]:
    """Return the largest relative difference of a loss from equal weights: of the first step in fp32, as it is
    measured, and of the third in fp64, small."""
    small = {"size": min(options.size, 64), "width": min(options.width, 16), "blocks": min(options.blocks, 3)}
    third = argparse.Namespace(**{**vars(options), **small})
    return compare_losses(options, torch.float32, 1), compare_losses(third, torch.float64, 3)


def compare_losses(options: argparse.Namespace, dtype: torch.dtype, steps: int) -> float:
    """Return the largest relative difference in the last of so many steps."""
    device = torch.device(options.device)
    batches = [{name: image.to(dtype) for name, image in batch.items()} for batch in make_batches(options, steps)]
    method, textbook = make_method(options, Setting()).to(dtype), Textbook(options.width, options.blocks, device)
    for name in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"):
        getattr(textbook, name).to(dtype).load_state_dict(getattr(method, name).state_dict())
    torch.set_float32_matmul_precision("highest")
    theirs = run_textbook(textbook, batches, device)[-1]
    with quiet():
        ours = run_ours(method, batches, options, {torch.float32: "fp32", torch.float64: "fp64"}[dtype]).losses[-1]
    return max(abs(value.item() / ours[_rename(key)].item() - 1) for key, value in theirs.items())


def _rename(key: str) -> str:
    """Return our log's name for one of the textbook's losses."""
    return f"{'discriminator' if key in WEIGHTS['discriminator'] else 'generator'}/{key}"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's remarks off the screen."""
    import logging
    import warnings

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_textbook(options: argparse.Namespace) -> Variant:
    """Return the textbook's rounds, in the fp32 that torch computes in by default."""
    device, batches = torch.device(options.device), make_batches(options, options.steps)
    textbook = Textbook(options.width, options.blocks, device)

    def time_round() -> float:
        synchronise(device)
        start = time.perf_counter()
        run_textbook(textbook, batches, device)
        synchronise(device)
        return len(batches) / (time.perf_counter() - start)

    return time_round


def make_ours(options: argparse.Namespace, setting: Setting) -> Variant:
    """Return rounds of ours, as `train.py` runs them."""
    method, batches = make_method(options, setting), make_batches(options, options.steps)

    def time_round() -> float:
        gc.collect()  # the last round's trainer, which a run has only one of
        with quiet():
            return len(batches) / run_ours(method, batches, options, setting.precision).seconds

    return time_round


def list_settings(options: argparse.Namespace) -> list[Setting]:
    """Return the variants that the command line asks for."""
    layouts = [layout == "channels_last" for layout in options.layouts]
    compiled = (False, True) if options.compile else (False,)
    settings = [Setting(*words) for words in itertools.product(options.precisions, layouts, compiled)]
    if options.memory:
        best = Setting(options.precisions[-1], layouts[0])
        savings = [MemoryOptions(recompute=True)]
        savings += [MemoryOptions(micro_batches=options.batch)] if options.batch > 1 else []
        settings += [replace(best, memory=saving) for saving in savings]
    return settings


def count_multiplications(options: argparse.Namespace) -> float:
    """Return the multiply-adds of the textbook's step, 10⁹, as its direct convolutions do them."""
    meta = torch.device("meta")
    batch = torch.empty(options.batch, 3, options.size, options.size, device=meta)
    with FlopCounterMode(display=False) as counter:
        Textbook(options.width, options.blocks, meta).step(batch, batch)
    return counter.get_total_flops() / 2e9


def benchmark_train(options: argparse.Namespace) -> list[Measurement]:
    """Steps per second of each variant, after the check that they compute the same."""
    first, third = call_apart(functools.partial(check_equal, options), options.device)
    print(f"losses of textbook and Diptych differ by {first:.0e} in fp32, and by {third:.0e} in fp64 after two steps")
    if first > TOLERANCES[0] or third > TOLERANCES[1]:
        raise SystemExit("error: that is more than rounding; nothing is compared")
    precisions = dict.fromkeys(["fp32", *options.precisions])
    peaks = {word: call_apart(functools.partial(measure_peaks, options.device, word), "cpu") for word in precisions}
    for word, rates in peaks.items():
        print(
            f"{word}: " + ", ".join(f"one large {name} {rate:,.0f}·10⁹ multiply-adds/s" for name, rate in rates.items())
        )
    settings = {f"diptych, {setting}": setting for setting in list_settings(options)}
    makes: dict[str, Make] = {"textbook, fp32": functools.partial(make_textbook, options)}
    makes |= {name: functools.partial(make_ours, options, setting) for name, setting in settings.items()}
    work = count_multiplications(options)
    results = []
    for measured in run_apart(makes, options.rounds, options.device):
        precision = settings[measured.name].precision if measured.name in settings else "fp32"
        share = measured.median * work / peaks[precision]["matrix"]
        results.append(replace(measured, facts={**measured.facts, "share of peak": share}))
    return results
