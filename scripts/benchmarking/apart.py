"""Variants in processes of their own: neither settings nor memory of one can be another's."""

import multiprocessing
import resource
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarking.measuring import Measurement, Variant, run_in_turn

Make = Callable[[], Variant]
"""Builds a variant in its process; must be picklable."""


class Apart:
    """A variant that is built and run in another process, one round at each call."""

    def __init__(self, make: Make, device: str) -> None:
        here, there = multiprocessing.Pipe()
        self._pipe = here
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(make, device, there))
        self._process.start()
        there.close()

    def __call__(self) -> float:
        return float(self.ask("round"))

    def measure_memory(self) -> float:
        """Return the most that the process has held beyond what it began with, in MiB."""
        return float(self.ask("memory"))

    def ask(self, question: str) -> Any:
        """Return the process's answer, a round's rate or its memory."""
        self._pipe.send(question)
        try:
            failed, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise SystemExit("error: a variant's process was killed; it may have run out of memory") from None
        if failed:
            raise SystemExit(f"error: {answer}")
        return answer

    def close(self) -> None:
        """Let the process end."""
        self._pipe.close()
        self._process.join()


def _serve(make: Make, device: str, pipe: Connection) -> None:
    try:
        before = _measure_now(device)
        variant = make()
        while True:
            question = pipe.recv()
            pipe.send((False, variant() if question == "round" else (_measure_peak(device) - before) / 2**20))
    except EOFError:  # nobody asks any more
        return
    except BaseException:
        pipe.send((True, traceback.format_exc()))


def _measure_now(device: str) -> int:
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _measure_peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def start(makes: Mapping[str, Make], device: str) -> Iterator[dict[str, Apart]]:
    """Start a process for each variant, and end them afterwards."""
    variants: dict[str, Apart] = {}
    try:
        for name, make in makes.items():
            variants[name] = Apart(make, device)
        yield variants
    finally:
        for variant in variants.values():
            variant.close()


def run_apart(makes: Mapping[str, Make], rounds: int, device: str) -> list[Measurement]:
    """Run the variants in turn, each in its process; then a round of each in a fresh one, for its peak memory."""
    with start(makes, device) as variants:
        measured = run_in_turn(dict(variants), rounds)
    return [
        replace(m, facts={"peak MiB": measure_memory(make, device)})
        for m, make in zip(measured, makes.values(), strict=True)
    ]


def measure_memory(make: Make, device: str) -> float:
    """Return a round's peak in a fresh process, in MiB beyond what the process began with."""
    with start({"alone": make}, device) as variants:
        variants["alone"]()
        return variants["alone"].measure_memory()


def call_apart(function: Callable[[], Any], device: str) -> Any:
    """Return what a function returns in a process of its own."""
    with start({"alone": partial(_give, function)}, device) as variants:
        return variants["alone"].ask("round")


def _give(function: Callable[[], Any]) -> Callable[[], Any]:
    return function
