"""The game: who moves, what is weighted, how the rate falls, what is kept of earlier batches."""

import itertools
import json
import os
from pathlib import Path

import pytest
import torch
from conftest import WEIGHTS, Batches, make_cyclegan, make_trainer
from torch.nn.functional import l1_loss

from diptych.errors import UserError
from diptych.losses import R1, GradientPenalty, Hinge, LowResolution, Wasserstein
from diptych.methods import Extra, Schedule
from diptych.methods.distancegan import RunningScale, measure_distances
from diptych.methods.history_pool import HistoryPool
from diptych.networks import apply, sees_images_alone

GOLDEN = Path(__file__).parent / "data" / "golden"


def test_golden_three_steps() -> None:
    """A seeded run gives the recorded losses; `DIPTYCH_REGENERATE=1` records them anew."""
    torch.manual_seed(0)
    method, losses = make_cyclegan().double(), []
    log_dict = method.log_dict
    method.log_dict = lambda values: (losses.append({k: float(v) for k, v in values.items()}), log_dict(values))[1]
    make_trainer(precision="64-true").fit(method, Batches(dtype=torch.float64))
    path = GOLDEN / "cyclegan.json"
    if os.environ.get("DIPTYCH_REGENERATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(losses, indent=1) + "\n")
    expected = json.loads(path.read_text())
    assert len(losses) == len(expected) == 9
    for row, golden in zip(losses, expected, strict=True):
        assert row == pytest.approx(golden, rel=1e-6)


def test_four_generator_calls_render_six_images() -> None:
    method, calls = make_cyclegan(), []
    for network in (method.generator_ab, method.generator_ba):
        network.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    images = method.render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    assert calls == [2, 1, 2, 1]
    assert set(images) == {f"{kind}_{domain}" for kind in ("real", "fake", "cycled", "identity") for domain in "ab"}


def test_identity_weighted_zero_is_not_rendered() -> None:
    weights = {**WEIGHTS, "generator": {**WEIGHTS["generator"], "identity_a": 0.0, "identity_b": 0.0}}
    images = make_cyclegan(weights=weights).render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    assert not any(name.startswith("identity") for name in images)


def test_a_way_back_weighted_zero_is_not_rendered() -> None:
    method = make_cyclegan(weights={**WEIGHTS, "generator": {**WEIGHTS["generator"], "cycle_a": 0.0}})
    images = method.render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    assert [name for name in images if name.startswith("cycled")] == ["cycled_b"]
    make_trainer().fit(method, Batches(1))


def test_identity_of_one_domain_alone() -> None:
    weights = {**WEIGHTS, "generator": {**WEIGHTS["generator"], "identity_a": 0.0}}
    make_trainer().fit(make_cyclegan(weights=weights), Batches(1))


def test_batch_norm_networks_are_called_one_by_one() -> None:
    method = make_cyclegan(generator={"network": "ResnetGenerator", "width": 2, "blocks": 1, "norm": "batch"})
    assert not sees_images_alone(method.generator_ab)
    images = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    together = apply(method.generator_ab, *images)
    for image, result in zip(images, together, strict=True):
        torch.testing.assert_close(method.generator_ab(image), result)
    make_trainer().fit(method, Batches(1))


@pytest.mark.parametrize("penalty", [GradientPenalty(), R1()], ids=lambda penalty: type(penalty).__name__)
def test_penalised_games_train(penalty: GradientPenalty | R1) -> None:
    discriminator = {**WEIGHTS["discriminator"], "penalty_a": 10.0, "penalty_b": 10.0}
    weights = {**WEIGHTS, "discriminator": discriminator}
    method = make_cyclegan(adversarial=Wasserstein(), penalty=penalty, weights=weights)
    before = [parameter.clone() for parameter in method.discriminator_a.parameters()]
    make_trainer().fit(method, Batches())
    assert any(not torch.equal(b, p) for b, p in zip(before, method.discriminator_a.parameters(), strict=True))
    assert float(make_cyclegan(adversarial=Hinge()).adversarial_losses["a"].adversarial.on_real(torch.ones(1))) == 0


@pytest.mark.parametrize(
    ("player", "term", "message"),
    [("generator", None, "generator.cycle_a is not set"), ("discriminator", "cycle_a", "weights a term that does not")],
)
def test_terms_and_weights_match_strictly(player: str, term: str | None, message: str) -> None:
    weights = {name: dict(terms) for name, terms in WEIGHTS.items()}
    if term:
        weights[player][term] = 1.0
    else:
        del weights[player]["cycle_a"]
    with pytest.raises(UserError, match=message):
        make_trainer().fit(make_cyclegan(weights=weights), Batches(1))


def test_extra_terms_enter_by_name() -> None:
    extras = {"consistency_ab": Extra("fake_b", LowResolution(4), "real_a")}
    weights = {**WEIGHTS, "generator": {**WEIGHTS["generator"], "consistency_ab": 2.0}}
    trainer = make_trainer()
    trainer.fit(make_cyclegan(extras=extras, weights=weights), Batches(1))
    assert 0 < trainer.callback_metrics["generator/consistency_ab"] < 2
    with pytest.raises(UserError, match="no image 'fake_c'; there are cycled_a"):
        make_trainer().fit(
            make_cyclegan(extras={"consistency_ab": Extra("fake_c", LowResolution(), "real_a")}, weights=weights),
            Batches(1),
        )


def test_missing_optimizer_is_named() -> None:
    with pytest.raises(UserError, match=r"method\.optimizer\.generator is not set"):
        make_trainer().fit(make_cyclegan(optimizer={}), Batches(1))


def test_iterations_and_images_are_counted_once_per_batch() -> None:
    method, trainer = make_cyclegan(), make_trainer(max_epochs=2)
    trainer.fit(method, Batches(steps=3, batch_size=2))
    assert (method.iteration, method.images_seen) == (6, 12)
    assert trainer.global_step == 12  # Lightning counts every player's step: nothing here relies on it


def test_linear_schedule_of_the_paper() -> None:
    schedule = Schedule(100, 100)
    rates = [schedule.factor(epoch * 1000, 1000) for epoch in range(200)]
    assert rates[:100] == [1.0] * 100
    assert rates[100] == pytest.approx(1 - 1 / 101)
    assert rates[199] == pytest.approx(1 / 101)
    assert schedule.factor(999, 1000) == 1.0
    assert schedule.factor(10**9, 1000) == 0.0


def test_cosine_and_step_schedules() -> None:
    cosine = [Schedule(2, 4, "cosine").factor(epoch, 1) for epoch in range(7)]
    assert cosine[:2] == [1.0, 1.0]
    assert all(earlier > later for earlier, later in itertools.pairwise(cosine[1:]))
    assert cosine[6] == pytest.approx(0.0, abs=1e-12)
    step = [Schedule(6, 0, "step", step_epochs=2, gamma=0.5).factor(epoch, 1) for epoch in range(6)]
    assert step == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("arguments", [(0, 0), (-1, 2), (1, 1, "plateau")])
def test_senseless_schedules_are_refused(arguments: tuple) -> None:
    with pytest.raises(UserError, match=r"method\.schedule"):
        Schedule(*arguments)


def test_history_pool_fills_then_exchanges_half() -> None:
    pool = HistoryPool(size=50, seed=0)
    numbered = [torch.full((1, 1, 1, 1), float(number)) for number in range(2050)]
    returned = [pool.exchange(image).item() for image in numbered]
    assert returned[:50] == list(range(50))
    same = sum(value == number for number, value in enumerate(returned[50:], start=50))
    assert 0.45 < same / 2000 < 0.55
    assert all(value <= number for number, value in enumerate(returned))
    kept = [image.item() for image in pool.state_dict()["images"]]
    assert len(set(kept)) == 50
    assert not set(kept) & set(returned[50:])  # an image is either kept or was shown


def test_history_pool_goes_on_from_its_state() -> None:
    first, second = HistoryPool(3, seed=1), HistoryPool(3, seed=9)
    images = [torch.full((2, 1, 1, 1), float(number)) for number in range(20)]
    for image in images[:10]:
        first.exchange(image)
    second.load_state_dict(first.state_dict())
    for image in images[10:]:
        assert torch.equal(first.exchange(image), second.exchange(image))


def test_pool_of_size_zero_is_off() -> None:
    fakes = torch.rand(2, 3, 4, 4, requires_grad=True)
    result = HistoryPool(0).exchange(fakes)
    assert torch.equal(result, fakes)
    assert not result.requires_grad


def test_distances_are_those_of_the_paper() -> None:
    images = torch.rand(3, 2, 4, 6)
    expected = [l1_loss(images[i], images[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(measure_distances(images), torch.stack(expected))
    halves = l1_loss(images[:1, ..., :3], images[:1, ..., 3:])
    torch.testing.assert_close(measure_distances(images[:1]), halves.reshape(1))
    scale = RunningScale(decay=0.0)
    scale.observe(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(scale.standardise(torch.tensor([1.0, 4.0])), torch.tensor([-1.0, 2.0]))
    other = RunningScale()
    other.load_state_dict(scale.state_dict())
    torch.testing.assert_close(other.standardise(torch.tensor([1.0])), torch.tensor([-1.0]))
