"""Less memory for more time: what is computed stays the same, and less is kept."""

from pathlib import Path

import pytest
import torch
from conftest import WEIGHTS, Batches, make_cyclegan, make_trainer
from test_family import make
from torch import Tensor

from diptych.callbacks import MemoryEstimate, memory
from diptych.data import UnpairedData
from diptych.errors import UserError
from diptych.losses import LeastSquares, LowResolution
from diptych.methods import CycleGAN, Extra, Schedule
from diptych.methods.method import Method
from diptych.training.memory import estimate_memory
from diptych.training.micro_batches import Rendering, Thrift


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"generator": {"network": "UnetGenerator", "width": 4, "depth": 3}}, {"recompute": True}, "recompute=true"),
        (
            {"generator": {"network": "ResnetGenerator", "width": 4, "blocks": 1, "norm": "batch"}},
            {"recompute": True},
            "instance norm does",
        ),
        ({}, {"pieces": 0}, "accumulate = 0 must be at least 1"),
    ],
)
def test_memory_is_saved_only_where_that_can_be(changes: dict, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_cyclegan(**changes).save_memory(**options)


def test_a_method_that_renders_its_directions_together_says_so() -> None:
    class Together(CycleGAN):
        render_direction = Method.render_direction

    network = {"network": "ResnetGenerator", "width": 4, "blocks": 1}
    options = {"weights": WEIGHTS, "optimizer": {}, "schedule": Schedule(1, 1)}
    method = Together(network, {"network": "PatchDiscriminator", "width": 4}, LeastSquares(), **options)
    with pytest.raises(UserError, match="by_direction=true: Together does not render"):
        method.save_memory(by_direction=True)


@pytest.mark.parametrize(
    "options",
    [{"pieces": 2}, {"pieces": 3}, {"by_direction": True}, {"recompute": True, "by_direction": True, "pieces": 4}],
    ids=str,
)
def test_saving_memory_changes_nothing_but_rounding(options: dict) -> None:
    """Three steps with four images a batch end in the same weights, pool and losses."""
    extras = {"consistency_ab": Extra("fake_b", "real_a", LowResolution(4))}
    weights = {**WEIGHTS, "generator": {**WEIGHTS["generator"], "consistency_ab": 2.0}}
    results = []
    for each in ({}, options):
        torch.manual_seed(0)
        method, trainer = make_cyclegan(extras=extras, weights=weights, pool_size=5).double(), None
        method.save_memory(**each)
        trainer = make_trainer(precision="64-true")
        trainer.fit(method, Batches(batch_size=4, dtype=torch.float64))
        state = method.state_dict() | {
            f"pool{i}": image for i, image in enumerate(method.adversarial_losses["b"].pool.state_dict()["images"])
        }
        results.append((state, {k: float(v) for k, v in trainer.callback_metrics.items()}))
    (plain, plain_losses), (thrifty, thrifty_losses) = results
    assert thrifty_losses == pytest.approx(plain_losses, rel=1e-9)
    assert plain.keys() == thrifty.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(
            thrifty[name], tensor, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_second_rendering_of_a_piece_draws_the_same_random_numbers() -> None:
    """A discriminator that moves first looks at what the generator will be blamed for."""
    generator = {"network": "ResnetGenerator", "width": 4, "blocks": 1, "dropout": True}
    method = make_cyclegan(generator=generator)
    generators, discriminators = method.players()
    rendering = Rendering(method, {"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)}, Thrift(pieces=2))
    first = [images for _, images in rendering.show(discriminators)]
    torch.rand(7)
    before = torch.get_rng_state()
    second = [images for _, images in rendering.show(generators)]
    assert torch.equal(torch.get_rng_state(), before)
    for images, again in zip(first, second, strict=True):
        assert not images["fake_b"].requires_grad
        assert again["fake_b"].requires_grad
        assert torch.equal(images["fake_b"], again["fake_b"])


def test_a_term_across_directions_needs_both_at_once() -> None:
    extras = {"across": Extra("fake_b", "cycled_b", LowResolution(4))}
    weights = {**WEIGHTS, "generator": {**WEIGHTS["generator"], "across": 2.0}}
    make_trainer().fit(make_cyclegan(extras=extras, weights=weights), Batches(1))
    method = make_cyclegan(extras=extras, weights=weights)
    method.save_memory(by_direction=True)
    with pytest.raises(UserError, match=r"method\.extras\.across: fake_b and cycled_b need by_direction=false"):
        make_trainer().fit(method, Batches(1))


def test_a_term_weighted_for_the_wrong_player_is_named() -> None:
    extras = {"extra": Extra("fake_b", "real_a", LowResolution(4))}
    weights = {**WEIGHTS, "discriminator": {**WEIGHTS["discriminator"], "extra": 2.0}}
    with pytest.raises(UserError, match=r"method\.weights\.discriminator\.extra weights a term that does not exist"):
        make_trainer().fit(make_cyclegan(extras=extras, weights=weights), Batches(1))


def test_by_direction_at_most_half_of_the_graph_exists() -> None:
    def most_kept(**options: bool) -> int:
        torch.manual_seed(0)
        method = make_cyclegan()
        method.save_memory(**options)
        alive, most = [0], [0]

        class Kept:
            def __init__(self, tensor: Tensor) -> None:
                self.tensor = tensor
                alive[0] += tensor.numel()
                most[0] = max(most[0], alive[0])

            def __del__(self) -> None:
                alive[0] -= self.tensor.numel()

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            make_trainer().fit(method, Batches(1, side=32))
        return most[0]

    whole = most_kept()
    assert most_kept(by_direction=True) < 0.6 * whole
    assert most_kept(by_direction=True, recompute=True) < 0.4 * whole


def count_kept(method: CycleGAN, images: dict[str, Tensor]) -> int:
    """Return the bytes that the generators' graph really keeps, besides the weights."""
    kept: dict[int, Tensor] = {}
    player = method.players()[0]
    with (
        method.only(player),
        torch.autograd.graph.saved_tensors_hooks(
            lambda t: (kept.setdefault(t.untyped_storage().data_ptr(), t), t)[1], lambda t: t
        ),
    ):
        terms = player.terms(method.render(images))
    assert terms
    parameters = {p.untyped_storage().data_ptr() for p in method.parameters()}
    return sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in parameters)


def test_the_estimate_counts_what_the_graph_keeps() -> None:
    method = make_cyclegan(generator={"network": "ResnetGenerator", "width": 16, "blocks": 3})
    batch = {domain: torch.rand(2, 3, 64, 64) for domain in "ab"}
    graph = count_kept(method, batch)
    weights = 4 * sum(value.numel() for value in (*method.parameters(), *method.buffers()))
    random = torch.get_rng_state()
    estimate = estimate_memory(method, {domain: torch.empty(2, 3, 64, 64, device="meta") for domain in "ab"})
    assert torch.equal(torch.get_rng_state(), random)
    assert method.adversarial_losses["a"].pool.state_dict()["images"] == []
    largest = 4 * 2 * 16 * 70 * 70 * 2  # the padded images before the last convolution, two calls in one
    assert graph < estimate - 5 * weights <= 1.05 * graph + 2 * largest
    method.save_memory(recompute=True, by_direction=True, pieces=2)
    thrifty = estimate_memory(method, {domain: torch.empty(2, 3, 64, 64, device="meta") for domain in "ab"})
    assert thrifty - 5 * weights < 0.5 * (estimate - 5 * weights)


@pytest.mark.parametrize("name", ["johnson", "adain", "fusion"])
def test_what_losses_look_with_is_estimated_and_stays_whole(name: str) -> None:
    method = make(name).double()  # what looks is brought to this type when it first sees an image
    batch = {domain: torch.rand(1, 3, 32, 32, dtype=torch.float64) for domain in "ab"}
    meta = {domain: torch.empty(1, 3, 32, 32, device="meta") for domain in "ab"}
    torch.set_default_dtype(torch.float64)
    try:
        assert estimate_memory(method, meta) > 0
    finally:
        torch.set_default_dtype(torch.float32)
    for player in method.players():
        for term, value in player.terms(method.render(batch)).items():
            assert value.isfinite(), term  # and has a content


@pytest.mark.parametrize(("free", "warned"), [(1.0, True), (1e15, False)])
def test_a_batch_that_does_not_fit_is_said_before_training(
    free: float, warned: bool, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "_find_free", lambda device: free)
    monkeypatch.setattr(memory, "WORTH_ASKING", 1)
    data = UnpairedData(str(tiny_data), load_size=18, crop_size=16, workers=0, batch_size=2)
    make_trainer(callbacks=[MemoryEstimate()], max_steps=1).fit(make_cyclegan(), data)
    said = "warning: memory: about 0.0 GiB for a batch of 2 at 16×16, and 0.0 GiB are free; recompute=true"
    assert (said in capsys.readouterr().out) is warned


def test_what_is_free_here_is_known() -> None:
    assert 2**26 < memory._find_free(torch.device("cpu")) < 2**44
