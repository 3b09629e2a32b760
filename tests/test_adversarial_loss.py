"""The discriminator's side: what it is shown, its penalties and regularisers, and what a checkpoint holds of it."""

import copy

import pytest
import torch
from conftest import WEIGHTS, Batches, make_cyclegan, make_trainer
from torch import Tensor, nn

from diptych.errors import UserError
from diptych.losses import R1, R2, CrossEntropy, Lazy, LeastSquares, LeCam, R1AndR2, Relativistic, ZeroCentred
from diptych.methods.adversarial_loss import AdversarialLoss
from diptych.networks import MixedDiscriminator, MultiscaleDiscriminator, PatchDiscriminator, apply


class Quadratic(nn.Module):
    """D(x) = Σ w x² / 2, whose slope at x is w x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x.square() / 2).sum((1, 2, 3)).view(-1, 1, 1, 1)


REAL, FAKE = (torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(seed)).double() for seed in (0, 1))


def slope(x: Tensor) -> Tensor:
    """The squared slope of `Quadratic`, averaged over images."""
    return (torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64).view(1, 3, 1, 1) * x.square()).sum((1, 2, 3)).mean()


def test_penalties_on_a_function_of_known_slope() -> None:
    network = Quadratic()
    torch.testing.assert_close(R1()(network, REAL, FAKE), 0.5 * slope(REAL))
    torch.testing.assert_close(R2()(network, REAL, FAKE), 0.5 * slope(FAKE))
    torch.testing.assert_close(R1AndR2()(network, REAL, FAKE), 0.5 * slope(REAL) + 0.5 * slope(FAKE))
    torch.testing.assert_close(ZeroCentred()(network, REAL, REAL), slope(REAL))
    torch.manual_seed(0)
    share = torch.rand(2, 1, 1, 1, dtype=torch.float64)
    torch.manual_seed(0)
    torch.testing.assert_close(ZeroCentred()(network, REAL, FAKE), slope(REAL.lerp(FAKE, share)))


def test_a_lazy_penalty_has_the_same_mean_and_goes_on_counting() -> None:
    network, lazy = Quadratic(), Lazy(R1(), every=4)
    values = [lazy(network, REAL, FAKE).item() for _ in range(8)]
    assert [value > 0 for value in values] == [True, False, False, False] * 2
    assert sum(values) / 8 == pytest.approx(R1()(network, REAL, FAKE).item())
    other = Lazy(R1(), every=4)
    lazy(network, REAL, FAKE)
    other.load_state_dict(lazy.state_dict())
    assert other(network, REAL, FAKE).item() == 0
    with pytest.raises(UserError, match=r"Lazy\.every = 0"):
        Lazy(R1(), every=0)


def test_lecam_is_equation_3_with_running_means() -> None:
    lecam = LeCam(decay=0.5)
    first = lecam(torch.tensor([2.0]), torch.tensor([-1.0]))
    assert first.item() == pytest.approx((2 - -1) ** 2 + (-1 - 2) ** 2)
    second = lecam(torch.tensor([4.0]), torch.tensor([1.0]))
    assert second.item() == pytest.approx((4 - 0.0) ** 2 + (1 - 3.0) ** 2)
    other = LeCam(decay=0.5)
    other.load_state_dict(lecam.state_dict())
    assert other(torch.tensor([0.0]), torch.tensor([0.0])) == lecam(torch.tensor([0.0]), torch.tensor([0.0]))


def test_smoothing_moves_the_discriminators_real_label_alone() -> None:
    logits = torch.tensor([0.3, -1.0], dtype=torch.float64)
    squares, entropy = LeastSquares(0.1), CrossEntropy(0.1)
    torch.testing.assert_close(squares.on_real(logits), (logits - 0.9).square().mean())
    expected = nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.9))
    torch.testing.assert_close(entropy.on_real(logits), expected)
    for game, plain in ((squares, LeastSquares()), (entropy, CrossEntropy())):
        assert game.generator(logits) == plain.generator(logits)
        assert game.on_fake(logits) == plain.on_fake(logits)
    with pytest.raises(UserError, match=r"LeastSquares\.smoothing = 1"):
        LeastSquares(1)


def test_relativistic_pairing_sees_only_differences() -> None:
    game, real, fake = Relativistic(), torch.tensor([0.5, 2.0]), torch.tensor([1.0, -1.0])
    softplus = nn.functional.softplus
    torch.testing.assert_close(game.discriminator(real, fake), softplus(fake - real).mean())
    torch.testing.assert_close(game.generator(fake, real), softplus(real - fake).mean())
    torch.testing.assert_close(game.generator(fake + 7, real + 7), game.generator(fake, real))


def test_a_relativistic_generator_is_compared_with_real_images() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(width=4, layers=2)
    pair = AdversarialLoss("b", Relativistic())
    fake = torch.rand(1, 3, 16, 16, requires_grad=True)
    loss = pair.generator_loss(network, fake, torch.rand(1, 3, 16, 16))
    loss.backward()
    assert fake.grad.abs().max() > 0


def test_every_part_of_the_loss_trains_and_has_its_extra_state() -> None:
    weights = copy.deepcopy(WEIGHTS)
    weights["discriminator"] |= {"penalty_a": 1.0, "penalty_b": 1.0, "lecam_a": 0.1, "lecam_b": 0.1}
    parts = {"penalty": Lazy(R1AndR2(), 2), "lecam": LeCam(), "adversarial": Relativistic()}
    method, trainer = make_cyclegan(weights=weights, **parts), make_trainer()
    trainer.fit(method, Batches())
    assert {"discriminator/penalty_b", "discriminator/lecam_a"} <= trainer.callback_metrics.keys()
    assert {"pool_a", "penalty_a", "lecam_a", "pool_b", "penalty_b", "lecam_b"} == method.extra_state().keys()
    assert method.adversarial_losses["a"].lecam is not method.adversarial_losses["b"].lecam
    assert method.extra_state()["penalty_b"].state_dict() == {"calls": 3}


def test_gradients_are_clipped_per_player() -> None:
    seen = {}
    method = make_cyclegan(clip={"generator": 0.01})
    optimizers = method.make_optimizer

    def watch(player: str) -> object:
        def make(groups: list) -> torch.optim.Optimizer:
            optimizer = optimizers[player](groups)
            step = optimizer.step

            def remember(*args: object, **kwargs: object) -> object:
                grads = [p.grad.flatten() for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
                seen[player] = torch.cat(grads).norm().item()
                return step(*args, **kwargs)

            optimizer.step = remember
            return optimizer

        return make

    method.make_optimizer = {player: watch(player) for player in optimizers}
    make_trainer().fit(method, Batches(1))
    assert seen["generator"] <= 0.0101
    assert seen["discriminator"] > 0.02


class TwoMaps(nn.Module):
    """Two maps of logits of different sizes."""

    shares = (0.75, 0.25)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)


def test_several_maps_of_logits_are_weighed() -> None:
    pair, network = AdversarialLoss("b", LeastSquares(), R1()), TwoMaps()
    real, fake = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    one, other = apply(network, fake)[0]
    game = LeastSquares()
    torch.testing.assert_close(
        pair.generator_loss(network, fake, real), 0.75 * game.generator(one) + 0.25 * game.generator(other)
    )
    terms = pair.discriminator_loss(network, real, fake)
    torch.testing.assert_close(
        terms["penalty_b"], R1()(lambda x: torch.cat([m.flatten() for m in network(x)]), real, fake)
    )
    (r1, r2), (f1, f2) = apply(network, real, fake)
    expected = 0.75 * game.discriminator(r1, f1) + 0.25 * game.discriminator(r2, f2)
    torch.testing.assert_close(terms["adversarial_b"], expected)


def test_scales_see_the_image_at_half_its_size_each() -> None:
    network = MultiscaleDiscriminator(width=4, layers=1, scales=3)
    maps = network(torch.rand(2, 3, 32, 32))
    assert [tuple(each.shape) for each in maps] == [(2, 1, 14, 14), (2, 1, 6, 6), (2, 1, 2, 2)]
    assert network.shares == [1 / 3] * 3


def test_mixed_discriminators_weigh_patches_and_pixels() -> None:
    network = MixedDiscriminator(width=4, layers=1, patch_share=0.8, pixel_share=0.2)
    patches, pixels = network(torch.rand(1, 3, 16, 16))
    assert patches.shape[-2:] == (6, 6)
    assert pixels.shape[-2:] == (16, 16)
    assert network.shares == [0.8, 0.2]
    game = make_cyclegan(discriminator={"network": "MixedDiscriminator", "width": 4, "layers": 1})
    make_trainer().fit(game, Batches(1))
    assert all(parameter.grad is not None for parameter in game.discriminator_b.parameters())
