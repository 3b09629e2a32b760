"""Descent on pixels: the objective is the losses' sum, optimizers lower it, weights and masks mean what they say."""

import builtins
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diptych.errors import MachineError, UserError
from diptych.losses import Content, GramStyle, MomentStyle, Perceptual, TotalVariation
from diptych.losses.style_transfer import StyleReference, StyleTransferLoss, make_guide
from diptych.networks import Vgg
from diptych.translators import GatysTranslator, Style, make_gatys, pixels
from diptych.translators.recipes import CLASSIC_LAYERS

LAYERS = {"relu1_1": 1.0, "relu2_1": 0.5}
WEIGHTS = {"content": 1.0, "style": 2.0, "total_variation": 0.1}


@pytest.fixture(scope="module")
def encoder() -> Vgg:
    return Vgg("vgg16", weights="random")


def make(encoder: Vgg, style: type[Perceptual] = GramStyle, **settings: object) -> GatysTranslator:
    loss = StyleTransferLoss(Content({"relu2_1": 1.0}, encoder), style(LAYERS, encoder), TotalVariation())
    return GatysTranslator(loss, WEIGHTS, **settings)


def paint(seed: int, height: int = 32, width: int = 40) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_objective_is_the_sum_of_the_losses(encoder: Vgg) -> None:
    content, style, image = paint(0), paint(1, 36, 36), paint(2)
    settings = make(encoder)
    terms = settings.loss(image, settings.loss.describe(content, [StyleReference(style)]))
    torch.testing.assert_close(terms["content"], settings.loss.content(image, content))
    torch.testing.assert_close(terms["style"], settings.loss.style(image, style))
    torch.testing.assert_close(terms["total_variation"], TotalVariation()(image))
    total = settings.weigh(content, [StyleReference(style)])(image)
    torch.testing.assert_close(total, sum(WEIGHTS[name] * term for name, term in terms.items()))


def test_gradients_are_those_of_the_objective(encoder: Vgg) -> None:
    """Against differences in float64, along a few pixels."""
    mask = torch.linspace(0, 1, 32).expand(1, 1, 32, 32).double()
    content, style, image = (paint(seed, 32, 32).double() for seed in range(3))
    settings, styles = make(encoder), [StyleReference(style), StyleReference(content.flip(-1), 0.5, mask)]
    objective = settings.weigh(content, styles)
    _, gradient = pixels.evaluate(objective, image)
    for place in ((0, 0, 5, 7), (0, 1, 0, 0), (0, 2, 31, 16)):
        step = torch.zeros_like(image)
        step[place] = 1e-6
        slope = (objective(image + step) - objective(image - step)) / 2e-6
        assert float(slope) == pytest.approx(float(gradient[place]), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("kind", [GramStyle, MomentStyle])
def test_weights_are_shares_and_a_mask_of_ones_is_none(kind: type[Perceptual], encoder: Vgg) -> None:
    content, one, two, image = (paint(seed) for seed in range(4))
    settings, ones = make(encoder, kind), torch.ones(1, 1, 32, 40)

    def style(*styles: StyleReference) -> float:
        return float(settings.loss(image, settings.loss.describe(content, styles))["style"])

    alone = style(StyleReference(one)), style(StyleReference(two))
    assert style(StyleReference(one, 7), StyleReference(two, 3)) == pytest.approx(
        0.7 * alone[0] + 0.3 * alone[1], rel=1e-4
    )
    assert style(StyleReference(one, 2), StyleReference(one, 5)) == pytest.approx(alone[0], rel=1e-4)
    assert style(StyleReference(one, mask=ones)) == pytest.approx(alone[0], rel=1e-4)
    assert style(StyleReference(one, mask=0.2 * ones), StyleReference(two, mask=ones)) == pytest.approx(
        sum(alone) / 2, rel=1e-4
    )


def test_a_masked_style_moves_its_places_only(encoder: Vgg) -> None:
    """The gradient far outside the mask is zero; a guide's mean is one at every size."""
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., :16] = 1
    settings = make(encoder)
    targets = settings.loss.describe(paint(0, 32, 64), [StyleReference(paint(1, 32, 64), mask=mask)])
    _, gradient = pixels.evaluate(lambda image: settings.loss(image, targets)["style"], paint(2, 32, 64))
    assert gradient[..., :12].abs().mean() > 0
    assert gradient[..., 32:].abs().max() == 0
    guide = make_guide(mask, torch.zeros(1, 8, 7, 11))
    assert float(guide.mean()) == pytest.approx(1)


@pytest.mark.parametrize(("optimizer", "steps"), [("lbfgs", 15), ("adam", 80), ("scipy", 4)])
def test_every_optimizer_lowers_the_loss(optimizer: str, steps: int, encoder: Vgg) -> None:
    """With one image as content and style nothing stands between noise and a loss of nearly none."""
    weights = {**WEIGHTS, "total_variation": 0.0}
    settings = GatysTranslator(make(encoder).loss, weights, optimizer=optimizer, steps=steps, start="noise")
    content = nn.functional.avg_pool2d(paint(0, 34, 42), 3, 1)
    progress = list(settings.iterate(content, [Style(content)]))
    objective = settings.weigh(content, [StyleReference(content)])
    start = settings._begin(content, [StyleReference(content)], 0)
    before, after = (float(objective(image)) for image in (start, progress[-1].image))
    assert after < 0.05 * before
    assert [p.step for p in progress] == list(range(1, steps + 1))
    assert progress[-1].image.abs().max() <= 1
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(("side", "steps"), [(512, 100), (1024, 42), (2048, 10), (8192, 10)])
def test_lbfgs_remembers_less_of_large_images(side: int, steps: int) -> None:
    assert pixels.count_history(torch.empty(1, 3, side, side, device="meta")) == steps


def test_scipy_follows_the_schedule_of_rounds(encoder: Vgg) -> None:
    """The same pixels as SciPy itself gives, called plainly in the units of 0 to 255."""
    from scipy.optimize import fmin_l_bfgs_b

    settings = make(encoder, optimizer="scipy", steps=2)
    content, style = paint(0).double(), paint(1).double()
    objective = settings.weigh(content, [StyleReference(style)])

    def call(flat: np.ndarray) -> tuple[float, np.ndarray]:
        image = torch.tensor(flat / 127.5).view(content.shape).requires_grad_()
        loss = objective(image)
        loss.backward()
        return loss.item(), image.grad.numpy().ravel() / 127.5

    flat = content.numpy().ravel() * 127.5
    for _ in range(2):
        flat, _, _ = fmin_l_bfgs_b(call, flat, maxfun=20, pgtol=0)
    last = list(settings.iterate(content, [Style(style)]))[-1].image
    torch.testing.assert_close(last.flatten(), torch.tensor(flat / 127.5).clamp(-1, 1), rtol=1e-5, atol=1e-5)


def test_scales_begin_where_the_last_one_ended(encoder: Vgg, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    descend = pixels.descend
    monkeypatch.setattr(
        "diptych.translators.gatys.descend",
        lambda objective, start, *more: seen.append(start) or descend(objective, start, *more),
    )
    settings = make(encoder, scales=(0.5, 1.0), steps=12, optimizer="adam")
    progress = list(settings.iterate(paint(0, 64, 80), [Style(paint(1, 64, 64), mask=torch.ones(1, 1, 64, 80))]))
    assert [tuple(p.image.shape[-2:]) for p in progress] == [(32, 40)] * 8 + [(64, 80)] * 4
    assert [tuple(start.shape[-2:]) for start in seen] == [(32, 40), (64, 80)]
    torch.testing.assert_close(seen[1][..., ::2, ::2], progress[7].image, atol=0.5, rtol=0)
    assert all(p.steps == 12 for p in progress)


def test_adams_moments_grow_with_the_image() -> None:
    """Twenty steps on one size are ten and ten more, and another size begins with the moments of the first."""

    def bowl(image: Tensor) -> Tensor:
        return (image - 0.5).square().sum()

    start = torch.zeros(1, 3, 8, 8)
    whole = [loss for loss, _ in pixels.descend(bowl, start, "adam", 20, pixels.PixelState())]
    state = pixels.PixelState()
    half = list(pixels.descend(bowl, start, "adam", 10, state))
    rest = [loss for loss, _ in pixels.descend(bowl, half[-1][1], "adam", 10, state)]
    assert [loss for loss, _ in half] + rest == pytest.approx(whole)
    assert all(later < earlier for earlier, later in pairwise(whole))
    list(pixels.descend(bowl, torch.zeros(1, 3, 16, 16), "adam", 1, state))
    assert state.moments["exp_avg"].shape == (1, 3, 16, 16)
    assert state.moments["step"] == 21


def test_mistakes_are_named(encoder: Vgg, monkeypatch: pytest.MonkeyPatch) -> None:
    image = paint(0)
    for settings, message in (
        ({"start": "void"}, "start = void must be one of content, style, noise"),
        ({"steps": 0}, "steps = 0 must be at least 1"),
        ({"scales": (1.0, 0.5)}, "must lie between 0 and 1 and end with 1"),
    ):
        with pytest.raises(UserError, match=message):
            make(encoder, **settings)
    with pytest.raises(UserError, match="weights of colour, total_variation: there must be"):
        GatysTranslator(make(encoder).loss, {"content": 1, "style": 1, "colour": 1})
    with pytest.raises(UserError, match="must look with one encoder"):
        StyleTransferLoss(Content(LAYERS, encoder), GramStyle(LAYERS, Vgg("vgg16", "random")), TotalVariation())
    for styles, message in (
        ([], "there is no style"),
        ([Style(image), Style(image[..., :8])], "the style 2 is 32×8; an encoder's poolings need 32 pixels a side"),
        ([Style(image, mask=torch.ones(1, 1, 2, 2))], "the mask of style 1 is 2×2, the content 32×40"),
        ([Style(image, mask=torch.zeros(1, 1, 32, 40))], "the mask of style 1 is empty"),
    ):
        with pytest.raises(UserError, match=message):
            next(make(encoder).iterate(image, styles))
    with pytest.raises(UserError, match="a style has weight 0; it must be a number above 0"):
        Style(image, weight=0)
    with pytest.raises(UserError, match="take styles from images alone, not by number, name or code"):
        make(encoder)(image, 0.5)
    with pytest.raises(UserError, match="optimizer = sgd must be one of lbfgs, adam, scipy"):
        next(make(encoder, optimizer="sgd").iterate(image, [Style(image)]))
    importing = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *more: importing("no_such_" + name if "scipy" in name else name, *more)
    )
    with pytest.raises(MachineError, match="needs SciPy: pip install scipy"):
        next(make(encoder, optimizer="scipy").iterate(image, [Style(image)]))


def test_the_classic_recipe_is_the_one_of_the_tutorials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "diptych.translators.recipes.load_encoder", lambda weights, **more: Vgg("vgg16", "random", **more)
    )
    gatys = make_gatys("classic", "random")
    loss = gatys.loss
    assert gatys.weights == {"content": 0.025, "style": 1.0, "total_variation": 1e-4}
    assert (loss.content.layers, loss.style.layers) == ({"conv5_2": 1.0}, CLASSIC_LAYERS)
    assert sum(CLASSIC_LAYERS.values()) == pytest.approx(1)
    assert (loss.content.scale, loss.style.scale, loss.total_variation.exponent) == ("gatys", "gatys", 2.5)
    assert loss.content.encoder.preprocessing == "caffe"
    assert make_gatys("plain", "random", "conv3_1").loss.content.layers == {"conv3_1": 1.0}


def test_a_seed_draws_the_start_and_batches_are_one_by_one(encoder: Vgg) -> None:
    settings = make(encoder, start="noise", steps=1)
    contents, style = torch.cat([paint(0), paint(1)]), paint(2)
    one, other = (settings(contents[:1], style, seed=seed) for seed in (1, 2))
    assert (one - other).abs().mean() > 0.05
    assert torch.equal(settings(contents, style, seed=1)[:1], one)
    assert [progress.steps for progress in settings.iterate(contents[:1], style, steps=2)] == [2, 2]
