"""Less memory for more time: the same numbers, what cannot be cut refused by name, and what is too much said."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import WEIGHTS, Batches, make_cyclegan, make_trainer
from test_family import DISCRIMINATOR, GENERATOR, METHODS, make
from test_train import ROOT, make_overrides, run
from torch import Tensor

from diptych.callbacks import MemoryReport
from diptych.errors import MachineError, UserError
from diptych.losses import R1, AdaptiveAugment, HardDecoupled, Lazy, LeCam, LowResolution, PatchNCE
from diptych.methods import CycleGAN, Extra, Method
from diptych.training.memory import (
    MemoryOptions,
    explained_exhaustion,
    find_capacity,
    find_obstacles,
    measure_peak,
    suggest_savings,
)
from diptych.training.micro_batches import MicroBatches

EVERYWHERE = {"projector": {"width": 8, "patches": 4096}}  # all places, as pieces of a batch draw their own
OPTIONS = {
    "two pieces": MemoryOptions(micro_batches=2),
    "three unlike pieces": MemoryOptions(micro_batches=3),
    "recompute": MemoryOptions(recompute=True),
    "both": MemoryOptions(recompute=True, micro_batches=4),
}


def train(method: Method, options: MemoryOptions) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return weights and earlier fakes after two batches of four, and the losses of the second."""
    options.apply(method)
    trainer = make_trainer(precision="64-true")
    trainer.fit(method.double(), Batches(2, batch_size=4, dtype=torch.float64))
    state = method.state_dict()
    for name, part in method.extra_state().items():
        state |= {f"{name}{i}": image for i, image in enumerate(part.state_dict().get("images", []))}
    return state, {name: float(value) for name, value in trainer.callback_metrics.items()}


def assert_same(make_method: Callable[[], Method], options: MemoryOptions) -> None:
    """Compare a run with one that saves memory, to rounding; Adam makes steps of 1e-8 of it for biases of no effect."""
    (plain, losses), (saved, other) = (train(make_method(), each) for each in (MemoryOptions(), options))
    assert other == pytest.approx(losses, rel=1e-9)
    assert saved.keys() == plain.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(saved[name], tensor, rtol=1e-6, atol=2e-8, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_saving_memory_changes_nothing_but_rounding(options: MemoryOptions) -> None:
    """Of CycleGAN with an optional term, and a pool whose draws must not be others."""

    def make_method() -> CycleGAN:
        torch.manual_seed(0)
        extras = {"consistency_ab": Extra("fake_b", LowResolution(4), "real_a", weight=2.0)}
        return make_cyclegan(extras=extras, pool_size=5)

    assert_same(make_method, options)


@pytest.mark.parametrize("name", ["cut", "fastcut", "dclgan", "gcgan", "pix2pix", "johnson", "adain", "wct", "fusion"])
def test_pieces_add_up_to_the_batch_for_every_kind_of_method(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)  # FastCUT mirrors every piece, or none
    assert_same(lambda: make(name, **(EVERYWHERE if "projector" in METHODS[name][3] else {})), OPTIONS["two pieces"])


@pytest.mark.parametrize("name", ["cut", "fastcut", "dclgan", "simdcl", "gcgan", "distancegan", "johnson"])
def test_recomputing_changes_nothing_for_every_kind_of_method(name: str) -> None:
    """The same numbers are drawn, so that nothing has to be looked at everywhere."""
    assert_same(lambda: make(name), OPTIONS["recompute"])


@pytest.mark.parametrize("pieces", [1, 2, 4])
@pytest.mark.parametrize("name", ["adain", "wct", "fusion"])
def test_the_mean_code_moves_once_a_batch(name: str, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method, calls = make(name), []
    update = method.generator_ab.update_mean_code

    def count(codes: Tensor, first: bool) -> None:
        calls.append((len(codes), first))
        update(codes, first)

    monkeypatch.setattr(method.generator_ab, "update_mean_code", count)
    MemoryOptions(micro_batches=pieces).apply(method)
    make_trainer().fit(method, Batches(2, batch_size=4))
    assert calls == [(4, True), (4, False)]


def make_norm(norm: str = "instance", spectral: bool = False) -> dict[str, Any]:
    return {"generator": {**GENERATOR, "norm": norm}, "discriminator": {**DISCRIMINATOR, "spectral_norm": spectral}}


def weigh(*terms: str) -> dict[str, dict[str, float]]:
    """Return CycleGAN's weights and those of further terms of both discriminators."""
    more = {f"{term}_{domain}": 0.5 for term in terms for domain in "ab"}
    return {**WEIGHTS, "discriminator": {**WEIGHTS["discriminator"], **more}}


OBSTACLES: dict[str, tuple[Callable[[], Method], str]] = {
    "distance": (lambda: make("distancegan"), "DistanceGAN's distance compares the images of a whole batch"),
    "whole_batch": (lambda: make("cut", contrastive=PatchNCE(whole_batch=True)), "PatchNCE looks at whole batches"),
    "relation": (lambda: make("src", relation=PatchNCE(whole_batch=True)), "PatchNCE looks at whole batches"),
    "batch norm": (lambda: make_cyclegan(**make_norm("batch")), "generator_ab has batch norm"),
    "spectral norm": (lambda: make_cyclegan(**make_norm(spectral=True)), "discriminator_a has spectral norm"),
    "lazy": (lambda: make_cyclegan(penalty=Lazy(R1(), 2), weights=weigh("penalty")), "Lazy looks at whole batches"),
    "lecam": (lambda: make_cyclegan(lecam=LeCam(), weights=weigh("lecam")), "LeCam looks at whole batches"),
    "ada": (lambda: make_cyclegan(augmentation=AdaptiveAugment()), "AdaptiveAugment looks at whole batches"),
}


@pytest.mark.parametrize(("make_method", "message"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_is_no_mean_over_images_is_refused_by_name(make_method: Callable[[], Method], message: str) -> None:
    method = make_method()
    MemoryOptions(micro_batches=1).apply(method)
    with pytest.raises(UserError, match=f"accumulate=2: {message}.*; use data.batch_size alone"):
        MemoryOptions(micro_batches=2).apply(method)
    assert "accumulate" not in suggest_savings(method, 4)
    assert suggest_savings(method, 4).startswith("recompute=true, data.batch_size=2") or "batch norm" in message


class Rival:
    """A loss of somebody else's package that compares the images of a batch."""

    averages_images = False

    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        return (image.mean((0, 2, 3)) - reference.mean((0, 2, 3))).square().sum()


def test_an_optional_term_of_another_package_is_refused_too() -> None:
    method = make_cyclegan(extras={"rival": Extra("fake_b", Rival(), "real_b")})
    assert next(find_obstacles(method)).startswith("Rival looks at whole batches")


def test_what_is_not_weighted_is_no_obstacle() -> None:
    generator = {"adversarial_ab": 1.0, "distance": 0.0}
    method = make("distancegan")
    method.weights.by_player["generator"] = generator
    assert list(find_obstacles(method)) == []
    MemoryOptions(micro_batches=2).apply(method)
    make_trainer().fit(method, Batches(1, batch_size=2))
    assert list(find_obstacles(make("src", contrastive=HardDecoupled()))) == []


@pytest.mark.parametrize(
    "generator",
    [
        {"network": "UnetGenerator", "width": 4, "depth": 3},
        {"network": "ResnetGenerator", "width": 4, "blocks": 1, "norm": "batch"},
    ],
    ids=lambda generator: generator["network"],
)
def test_recompute_is_refused_where_no_network_can(generator: dict) -> None:
    with pytest.raises(UserError, match="recompute=true: no network of this recipe can; generator=resnet"):
        MemoryOptions(recompute=True).apply(make_cyclegan(generator=generator))
    assert "recompute" not in suggest_savings(make_cyclegan(generator=generator), 2)


def test_less_than_one_piece_is_refused() -> None:
    with pytest.raises(UserError, match="accumulate = 0 must be at least 1"):
        MemoryOptions(micro_batches=0)


def test_a_second_rendering_of_a_piece_draws_the_same_random_numbers() -> None:
    """A discriminator that moves first looks at what the generator will be blamed for."""
    method = make_cyclegan(generator={"network": "ResnetGenerator", "width": 4, "blocks": 1, "dropout": True})
    generators, discriminators = method.players()
    batch = {"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)}
    rendering = MicroBatches(method.render, batch, 2, generators.parameters())
    first = [images for _, images in rendering.show(discriminators)]
    torch.rand(7)
    before = torch.get_rng_state()
    second = [images for _, images in rendering.show(generators)]
    assert torch.equal(torch.get_rng_state(), before)
    for images, again in zip(first, second, strict=True):
        assert not images["fake_b"].requires_grad
        assert again["fake_b"].requires_grad
        assert torch.equal(images["fake_b"], again["fake_b"])
    assert torch.equal(rendering.recall("fake_b"), torch.cat([images["fake_b"] for images in first]))


def test_a_term_weighted_for_the_wrong_player_is_named() -> None:
    extras = {"extra": Extra("fake_b", LowResolution(4), "real_a")}
    weights = {**WEIGHTS, "discriminator": {**WEIGHTS["discriminator"], "extra": 2.0}}
    with pytest.raises(UserError, match=r"method\.weights\.discriminator\.extra weights a term that does not exist"):
        make_trainer().fit(make_cyclegan(extras=extras, weights=weights), Batches(1))


def test_less_of_the_graph_exists_at_a_time() -> None:
    def most_kept(options: MemoryOptions) -> int:
        torch.manual_seed(0)
        method = make_cyclegan(generator={"network": "ResnetGenerator", "width": 4, "blocks": 6})
        options.apply(method)
        alive, most = [0], [0]

        class Kept:
            def __init__(self, tensor: Tensor) -> None:
                self.tensor = tensor
                alive[0] += tensor.numel()
                most[0] = max(most[0], alive[0])

            def __del__(self) -> None:
                alive[0] -= self.tensor.numel()

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            make_trainer().fit(method, Batches(1, batch_size=4, side=32))
        return most[0]

    whole = most_kept(MemoryOptions())
    assert most_kept(MemoryOptions(micro_batches=2)) < 0.6 * whole
    assert most_kept(MemoryOptions(micro_batches=4)) < 0.35 * whole
    assert most_kept(MemoryOptions(recompute=True)) < 0.7 * whole


def test_the_report_tells_what_was_held(capsys: pytest.CaptureFixture[str]) -> None:
    device, kept = torch.device("cpu"), torch.ones(2**26)  # 256 MiB that are really there
    make_trainer(callbacks=[MemoryReport()]).fit(make_cyclegan(), Batches(2))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("memory: ")]
    peak, capacity = map(float, re.fullmatch(r"memory: at most (\S+) of (\S+) GiB in the first batch", line).groups())
    assert 4 * kept.numel() / 2**30 < peak <= measure_peak(device) / 2**30 + 0.05
    assert capacity == pytest.approx(find_capacity(device) / 2**30, abs=0.05)
    assert peak < capacity


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_running_out_of_memory_names_what_helps(error: Exception) -> None:
    with pytest.raises(MachineError) as told, explained_exhaustion(make_cyclegan(), 4):
        raise error
    helps = "recompute=true, accumulate=4, data.batch_size=2, a smaller data.crop_size, generator.width take less"
    assert str(told.value) == f"out of memory: {helps}"
    with pytest.raises(RuntimeError, match="mat1 and mat2"), explained_exhaustion(make_cyclegan(), 4):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_gpu_that_is_full_ends_a_run_in_one_line(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fill(self: CycleGAN, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(CycleGAN, "render", fill)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run"))
    assert stop.value.code == MachineError.exit_code
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line == "error: out of memory: recompute=true, a smaller data.crop_size, generator.width take less"


LIMITED = """
import resource, runpy, sys
import torch, diptych.training.run, diptych.callbacks, diptych.methods, diptych.data  # what is there before a run
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + {room}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.path.insert(0, "{root}")
runpy.run_path("{root}/train.py", run_name="__main__")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits of address space are Linux's here")
def test_really_running_out_of_memory_ends_in_one_line(tiny_data: Path, tmp_path: Path) -> None:
    """A batch of three images at 256 pixels takes more than the 700 MiB that the process may have besides."""
    more = ["data.load_size=256", "data.crop_size=256", "data.batch_size=3", "generator.width=32", "trainer=cpu"]
    overrides = make_overrides(tiny_data, tmp_path / "run", *more, "callbacks.alarms.every=0")
    command = [sys.executable, "-c", LIMITED.format(root=ROOT, room=700 * 2**20), "experiment=custom", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == MachineError.exit_code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    helps = "recompute=true, accumulate=3, data.batch_size=1, a smaller data.crop_size, generator.width take less"
    assert line == f"error: out of memory: {helps}"
