"""Losses against the formulas of their papers, written out plainly."""

import math

import pytest
import torch
from conftest import WEIGHTS, make_cyclegan
from torch import nn

from diptych.errors import UserError
from diptych.losses import (
    R1,
    Adversarial,
    CrossEntropy,
    GradientPenalty,
    Hinge,
    LeastSquares,
    LowResolution,
    NonSaturating,
    Wasserstein,
)

REAL, FAKE = [0.3, -1.2, 2.0], [-0.7, 1.5, 0.1]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


FORMULAS = {
    LeastSquares: (lambda x: (x - 1) ** 2, lambda x: x**2, lambda x: (x - 1) ** 2),
    CrossEntropy: (
        lambda x: -math.log(sigmoid(x)),
        lambda x: -math.log(1 - sigmoid(x)),
        lambda x: -math.log(sigmoid(x)),
    ),
    NonSaturating: (
        lambda x: -math.log(sigmoid(x)),
        lambda x: -math.log(1 - sigmoid(x)),
        lambda x: -math.log(sigmoid(x)),
    ),
    Hinge: (lambda x: max(0, 1 - x), lambda x: max(0, 1 + x), lambda x: -x),
    Wasserstein: (lambda x: -x, lambda x: x, lambda x: -x),
}
HALVED = (LeastSquares, CrossEntropy, NonSaturating)  # LSGAN's equation 9; pix2pix, section 3.3; CUT's code


@pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
def test_adversarial_formula(kind: type[Adversarial]) -> None:
    on_real, on_fake, generator = FORMULAS[kind]
    game = kind()
    real, fake = torch.tensor(REAL, dtype=torch.float64), torch.tensor(FAKE, dtype=torch.float64)
    whole = mean([on_real(x) for x in REAL]) + mean([on_fake(x) for x in FAKE])
    expected = whole / 2 if kind in HALVED else whole
    assert game.discriminator(real, fake).item() == pytest.approx(expected, abs=1e-12)
    assert game.generator(fake).item() == pytest.approx(mean([generator(x) for x in FAKE]), abs=1e-12)


@pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
def test_generator_and_discriminator_pull_apart(kind: type[Adversarial]) -> None:
    """Raising a fake's logit helps the generator and hurts the discriminator."""
    fake = torch.zeros(4, requires_grad=True)
    (for_generator,) = torch.autograd.grad(kind().generator(fake), fake)
    (for_discriminator,) = torch.autograd.grad(kind().discriminator(torch.zeros(4), fake + 0.5), fake)
    assert (for_generator < 0).all()
    assert (for_discriminator > 0).all()


class Linear(nn.Module):
    """A critic whose slope is known: every image gets Σ slope·pixel."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images * self.slope).sum((1, 2, 3))


def test_gradient_penalties_of_a_linear_critic() -> None:
    real, fake = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    critic, pixels = Linear(0.5), 3 * 4 * 4
    norm = 0.5 * pixels**0.5
    assert GradientPenalty()(critic, real, fake).item() == pytest.approx((norm - 1) ** 2)
    penalty = R1()(critic, real, fake)
    assert penalty.item() == pytest.approx(0.5 * norm**2)
    penalty.backward()
    assert critic.slope.grad is not None
    assert critic.slope.grad.item() == pytest.approx(0.5 * pixels)


def test_a_gradient_penalty_weighted_10_is_equation_3_of_wgan_gp() -> None:
    """E[D(fake)] - E[D(real)] + 10 E[(‖∇D‖ - 1)²], through the method's own sum; the penalty of a fixed slope."""
    weights = {"generator": WEIGHTS["generator"], "discriminator": {**WEIGHTS["discriminator"]}}
    weights["discriminator"] |= {"penalty_a": 10.0, "penalty_b": 10.0}
    method = make_cyclegan(adversarial=Wasserstein(), penalty=GradientPenalty(), pool_size=0, weights=weights)
    method.discriminator_b = Linear(0.25)
    real, fake = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    terms = method.discriminator_loss("b", {"real_b": real, "fake_b": fake})
    norm = 0.25 * (3 * 4 * 4) ** 0.5
    equation = 0.25 * (fake.sum((1, 2, 3)).mean() - real.sum((1, 2, 3)).mean()) + 10 * (norm - 1) ** 2
    torch.testing.assert_close(method.weights.sum("discriminator", terms), equation.detach())


def test_low_resolution_sees_colours_and_not_detail() -> None:
    image = torch.rand(2, 3, 16, 16)
    shuffled = image.unfold(2, 8, 8).unfold(3, 8, 8).flip(-1, -2)
    moved = shuffled.permute(0, 1, 2, 4, 3, 5).reshape(image.shape)  # pixels change places within their block
    loss = LowResolution(8)
    assert loss(moved, image).item() == pytest.approx(0, abs=1e-6)
    assert loss(image + 0.25, image).item() == pytest.approx(0.25, abs=1e-6)
    assert not torch.allclose(moved, image)


def test_low_resolution_refuses_a_senseless_factor() -> None:
    with pytest.raises(UserError, match="factor = 0"):
        LowResolution(0)
