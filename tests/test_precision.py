"""Losses are what they are in float32, whatever precision the networks around them are computed in."""

from collections.abc import Callable

import pytest
import torch
from conftest import make_picture
from test_family import make
from torch import Tensor, nn
from torch.nn.functional import normalize

from diptych import losses
from diptych.methods import Extra
from diptych.networks import Vgg

pytestmark = pytest.mark.reliability

ENCODER = Vgg("small", "own")
STYLES = {kind: getattr(losses, kind)(encoder=ENCODER) for kind in ("GramStyle", "MomentStyle", "SlicedStyle")}
CONTENT = losses.Content(encoder=ENCODER)
TRANSFER = losses.StyleTransferLoss(CONTENT, STYLES["GramStyle"], losses.TotalVariation())


def transfer(image: Tensor, reference: Tensor) -> Tensor:
    """All three terms, of targets that are described under the same precision."""
    targets = TRANSFER.describe(image.detach().flip(-1), [losses.StyleReference(reference)])
    return torch.stack(list(TRANSFER(image, targets).values())).sum()


def make_lpips() -> losses.Lpips:
    """Return LPIPS with a convolution in the place of a network that would have to be downloaded."""

    class Distance(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return (self.conv(one) - self.conv(other)).square()

    lpips = losses.Lpips.__new__(losses.Lpips)
    lpips.network = Distance()
    return lpips


ON_IMAGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **STYLES,
    "Content": CONTENT,
    "StyleTransferLoss": transfer,
    "Lpips": make_lpips(),
    **{
        kind: getattr(losses, kind)()
        for kind in (
            "StructuralDissimilarity",
            "EdgeConsistency",
            "LabMean",
            "LabHistogram",
            "LowResolution",
            "TotalVariation",
        )
    },
}
ON_PATCHES = {
    "PatchNCE": losses.PatchNCE(),
    "Transport": losses.PatchNCE(negatives=losses.Transport()),
    "HardDecoupled": losses.HardDecoupled(),
    "SemanticRelation": losses.SemanticRelation(),
}


def compute(loss: Callable[[Tensor, Tensor], Tensor], one: Tensor, other: Tensor, reduced: bool) -> tuple[Tensor, ...]:
    """Return the loss and its gradient, with or without bf16 around it."""
    one = one.clone().requires_grad_()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        value = loss(one, other)
    value.backward()
    return value.detach(), one.grad


@pytest.mark.parametrize("name", [*ON_IMAGES, *ON_PATCHES])
def test_losses_are_the_same_to_the_bit_under_bf16(name: str) -> None:
    images = make_picture(0, 32, 32), make_picture(1, 32, 32)
    patches = [normalize(torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(i)), dim=2) for i in (0, 1)]
    loss, given = (ON_IMAGES[name], images) if name in ON_IMAGES else (ON_PATCHES[name], patches)
    for whole, reduced in zip(compute(loss, *given, False), compute(loss, *given, True), strict=True):
        assert torch.equal(whole, reduced)
        assert whole.dtype == reduced.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(*(tensor.bfloat16() for tensor in given)).dtype == torch.float32


def test_every_loss_on_images_is_among_these() -> None:
    plain = (losses.Adversarial, losses.Penalty, losses.Negatives)  # these are elementwise, or of the discriminator
    kinds = {name for name in losses.__all__ if not issubclass(getattr(losses, name), plain)}
    others = {"Perceptual", "Contrastive", "LeCam", "DiffAugment", "AdaptiveAugment", "InstanceNoise", "StyleReference"}
    assert kinds - others == {*ON_IMAGES, *ON_PATCHES} - {"Transport"}


def test_an_extra_of_somebody_elses_is_too() -> None:
    convolution = nn.Conv2d(3, 8, 3)
    extra = Extra("fake_b", lambda one, other: (convolution(one) - convolution(other)).square().mean(), "real_b")
    images = {"fake_b": make_picture(0), "real_b": make_picture(1)}
    with torch.autocast("cpu", torch.bfloat16):
        reduced = extra.compute("extra", images)
        assert not torch.equal(reduced, extra.loss(*images.values()))
    assert torch.equal(reduced, extra.compute("extra", images))


@pytest.mark.parametrize("name", ["adain", "wct", "fusion", "johnson"])
def test_terms_of_style_transfer_are_too(name: str) -> None:
    """What is compared with is described in float32 already while the batch is rendered."""
    method = make(name)
    batch = {"a": make_picture(0, 16, 16), "b": make_picture(1, 16, 16)}
    with torch.autocast("cpu", torch.bfloat16):
        images = method.render(batch)
        reduced = method.generator_terms(images)
    whole = method.generator_terms({key: image.float() for key, image in images.items()})
    for term, value in whole.items():
        assert torch.equal(reduced[term], value), term
    exact = method.render(batch)
    for key in images:
        if key.startswith(("content_target", "style_target", "features")):
            assert torch.equal(images[key], exact[key]), key
