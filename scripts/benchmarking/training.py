"""A training step: the textbook's, and ours as `train.py` runs it."""

import argparse
import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarking.measuring import Measurement, Variant, run_in_turn, synchronise
from benchmarking.textbook import Textbook
from diptych.callbacks import EMA, FiniteGuard
from diptych.callbacks.machine import choose_precision
from diptych.losses import LeastSquares
from diptych.methods import CycleGAN, Schedule

WEIGHTS = {
    "generator": {
        **{f"adversarial_{direction}": 1.0 for direction in ("ab", "ba")},
        **{f"cycle_{domain}": 10.0 for domain in "ab"},
        **{f"identity_{domain}": 5.0 for domain in "ab"},
    },
    "discriminator": {"adversarial_a": 1.0, "adversarial_b": 1.0},
}
TOLERANCES = (1e-5, 1e-2)  # relative, of fp32 losses: rounding; and two steps later, rounding amplified by training


class Clock(Callback):
    """Times the batches of a run, and keeps the losses."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.losses: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronise(pl_module.device)
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        weights = {f"{player}/{name}": weight for player, terms in WEIGHTS.items() for name, weight in terms.items()}
        self.losses.append({name: weights[name] * trainer.callback_metrics[name] for name in weights})  # type: ignore[misc]

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


def make_method(options: argparse.Namespace) -> CycleGAN:
    """Return the published CycleGAN with the weights of seed 0."""
    torch.manual_seed(0)
    adam = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)
    return CycleGAN(
        generator={"network": "ResnetGenerator", "width": options.width, "blocks": options.blocks},
        discriminator={"network": "PatchDiscriminator", "width": options.width},
        adversarial=LeastSquares(),
        weights=WEIGHTS,
        optimizer={"generator": adam, "discriminator": adam},
        schedule=Schedule(100, 100),
        pool_size=0,
    )


def run_ours(
    method: CycleGAN, batches: list[dict[str, Tensor]], options: argparse.Namespace, settings: Mapping[str, Any]
) -> Clock:
    """Train on the batches as `train.py` would."""
    clock = Clock()
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision=choose_precision(settings["precision"]),  # type: ignore[arg-type]
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
    """Return the largest relative difference of a loss in the first and the third fp32 step from equal weights."""
    device = torch.device(options.device)
    batches, method = make_batches(options, 3), make_method(options)
    textbook = Textbook(options.width, options.blocks, device)
    for name in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"):
        getattr(textbook, name).load_state_dict(getattr(method, name).state_dict())
    theirs = run_textbook(textbook, batches, device)
    ours = run_ours(method, batches, options, {"precision": "fp32"}).losses
    first, _, third = (
        max(abs(float(value) / float(own[_rename(key)]) - 1) for key, value in other.items())
        for own, other in zip(ours, theirs, strict=True)
    )
    return first, third


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


def benchmark_train(options: argparse.Namespace) -> list[Measurement]:
    """Steps per second of each variant, after the check that they compute the same."""
    device = torch.device(options.device)
    with quiet():
        first, third = check_equal(options)
        print(
            f"losses of textbook and Diptych in fp32 differ by {first:.1e} in the first step, {third:.1e} in the third"
        )
        if first > TOLERANCES[0] or third > TOLERANCES[1]:
            raise SystemExit("error: that is more than rounding; nothing is compared")
        batches = make_batches(options, options.steps)
        textbook = Textbook(options.width, options.blocks, device)

        def time_textbook() -> float:
            synchronise(device)
            start = time.perf_counter()
            run_textbook(textbook, batches, device)
            synchronise(device)
            return len(batches) / (time.perf_counter() - start)

        variants: dict[str, Variant] = {"textbook, fp32": time_textbook}
        for precision in options.precisions:
            for compiled in (False, True) if options.compile else (False,):
                for layout in options.layouts:
                    method = make_method(options)
                    method.lay_out(channels_last=layout == "channels_last")
                    if compiled:
                        method.compile_networks()
                    name = f"diptych, {precision}, {layout}{', compiled' if compiled else ''}"
                    variants[name] = functools.partial(time_ours, method, batches, options, {"precision": precision})
        return run_in_turn(variants, options.rounds)


def time_ours(
    method: CycleGAN, batches: list[dict[str, Tensor]], options: argparse.Namespace, settings: Mapping[str, Any]
) -> float:
    """Return steps per second."""
    return len(batches) / run_ours(method, batches, options, settings).seconds
