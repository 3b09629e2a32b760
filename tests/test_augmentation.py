"""Augmentation: on the device, differentiable, and a function of seed and iteration."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_cyclegan, make_trainer
from pytorch_lightning import Callback

from diptych.data import UnpairedData
from diptych.errors import UserError
from diptych.losses import AdaptiveAugment, DiffAugment, InstanceNoise
from diptych.losses.augmentation import POLICIES


def test_translation_moves_by_whole_pixels_and_uncovers_grey() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 3, 16, 16) + 0.1
    moved = DiffAugment(["translation"])(images)
    shifts = set()
    for image, other in zip(images, moved, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(_shift(image, down, right), other)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 15  # of 25


def _shift(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
    return padded[:, 2 - down : 18 - down, 2 - right : 18 - right]


def test_cutout_blanks_a_square_of_half_the_side() -> None:
    cut = DiffAugment(["cutout"])(torch.ones(8, 1, 20, 20))
    assert ((cut == 0).sum((1, 2, 3)) == 100).all()
    assert len({tuple(image.flatten().tolist()) for image in cut}) > 1


def test_colour_keeps_what_it_says() -> None:
    """Saturation keeps a pixel's mean, contrast the image's, brightness moves that by a half at most."""
    torch.manual_seed(0)
    images = torch.rand(32, 3, 8, 8)
    coloured = DiffAugment(["colour"])(images)
    assert ((coloured - images).mean((1, 2, 3)).abs() <= 0.5).all()
    factors = (coloured.mean(1) - coloured.mean((1, 2, 3))[:, None, None]) / (
        images.mean(1) - images.mean((1, 2, 3))[:, None, None]
    )
    assert torch.allclose(factors, factors[:, :1, :1].expand_as(factors), atol=1e-2)
    assert 0.5 <= factors[:, 0, 0].min() < 0.8
    assert 1.2 < factors[:, 0, 0].max() <= 1.5


@pytest.mark.parametrize("policy", [[word] for word in POLICIES] + [list(POLICIES)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_gradients_pass_through(policy: list[str], channels: int) -> None:
    images = torch.rand(2, channels, 16, 16, requires_grad=True)
    DiffAugment(policy)(images).square().sum().backward()
    assert images.grad is not None
    assert (images.grad != 0).float().mean() > 0.3


def test_probability_leaves_some_images_alone() -> None:
    torch.manual_seed(0)
    images = torch.rand(200, 3, 8, 8)
    same = (DiffAugment(probability=0.25)(images) == images).all(1).all(1).all(1)
    assert 0.65 < same.float().mean() < 0.85
    assert torch.equal(DiffAugment(probability=0.0)(images), images)


@pytest.mark.parametrize("arguments", [{"policy": ["rotation"]}, {"probability": 2.0}], ids=str)
def test_senseless_augmentation_is_refused(arguments: dict) -> None:
    with pytest.raises(UserError, match=rf"DiffAugment\.{next(iter(arguments))}"):
        DiffAugment(**arguments)


def test_discriminators_see_varied_images_and_generators_learn_through_them() -> None:
    seen: list[torch.Tensor] = []

    def spy(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images * 0.5

    method = make_cyclegan(augmentation=spy)
    images = method.render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    method.generator_terms(images)["adversarial_ab"].backward()
    assert len(seen) == 2
    assert all(p.grad is not None for p in method.generator_ab.parameters())
    method.discriminator_terms(images)
    assert len(seen) == 6  # real and fake of either domain


class Listener(Callback):
    """Keeps what a run trains on."""

    def __init__(self) -> None:
        self.means: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.means.append(float(batch["a"].mean()))


def test_device_augmentation_is_a_function_of_seed_and_iteration(tiny_data: Path) -> None:
    def draw(images: torch.Tensor) -> torch.Tensor:
        assert images.min() >= 0
        return images + torch.rand(())

    def run(seed: int) -> list[float]:
        data = UnpairedData(str(tiny_data), load_size=20, crop_size=16, workers=0, augment=draw, seed=seed)
        listener = Listener()
        make_trainer(limit_train_batches=3, callbacks=[listener]).fit(make_cyclegan(), data)
        return listener.means

    state = torch.get_rng_state()
    first = run(0)
    assert first == run(0) != run(1)
    assert len(set(first)) == 3
    torch.set_rng_state(state)


def test_noise_has_the_deviation_it_says() -> None:
    torch.manual_seed(0)
    images = torch.zeros(4, 3, 64, 64)
    assert InstanceNoise(0.2)(images).std().item() == pytest.approx(0.2, rel=0.02)
    assert torch.equal(InstanceNoise(0.0)(images), images)
    with pytest.raises(UserError, match=r"InstanceNoise\.deviation = -1"):
        InstanceNoise(-1)


def test_adaptive_augmentation_follows_the_discriminators_confidence() -> None:
    augmentation = AdaptiveAugment(target=0.5, images=8)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(augmentation(images), images)
    for expected in (0.25, 0.5, 0.75, 1.0, 1.0):
        augmentation.observe(torch.ones(2, 1, 3, 3))
        assert augmentation.probability == pytest.approx(expected)
    assert not torch.equal(augmentation(images), images)
    augmentation.observe(torch.tensor([1.0, -1.0]))
    assert augmentation.probability == pytest.approx(0.75)
    other = AdaptiveAugment()
    other.load_state_dict(augmentation.state_dict())
    assert other.probability == 0.75
    with pytest.raises(UserError, match="target must lie between"):
        AdaptiveAugment(target=2)


def test_each_domain_adapts_by_itself_and_has_its_extra_state() -> None:
    method = make_cyclegan(augmentation=AdaptiveAugment(images=4))
    method.adversarial_losses["a"].augmentation.observe(torch.ones(1))
    states = {name: part.state_dict() for name, part in method.extra_state().items() if name.startswith("augment")}
    assert states == {"augmentation_a": {"probability": 0.25}, "augmentation_b": {"probability": 0.0}}
