"""Losses on features and on pixels, against their formulas in plain NumPy; where VGG's weights come from."""

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers

from diptych.errors import DataError, MachineError, UserError
from diptych.losses import (
    Content,
    EdgeConsistency,
    GramStyle,
    LabHistogram,
    LabMean,
    Lpips,
    MomentStyle,
    Perceptual,
    SlicedStyle,
    StructuralDissimilarity,
    TotalVariation,
)
from diptych.losses.perceptual import GramScale
from diptych.networks import Vgg
from diptych.networks import vgg as module


@pytest.fixture(scope="module")
def encoder() -> Vgg:
    return Vgg("vgg16", weights="random")


def make(seed: int, *shape: int) -> Tensor:
    return (
        torch.rand(shape or (2, 3, 16, 20), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    )


def make_loss(kind: type[Perceptual], **settings: object) -> Perceptual:
    """Return a loss of one layer, without an encoder."""
    return kind({"layer": 1.0}, encoder=object(), **settings)


def compare(loss: Perceptual, own: Tensor, other: Tensor, positions: int = 60) -> float:
    return float(loss.compare({"layer": own}, {"layer": loss.describe(other, positions)}, positions))


def test_gram_losses_are_the_papers_formulas() -> None:
    own, other = make(0, 1, 4, 3, 5), make(1, 1, 4, 3, 5)
    f, a = (x[0].reshape(4, 15).numpy() for x in (own, other))
    n, m = f.shape
    grams = [np.array([[sum(x[i, k] * x[j, k] for k in range(m)) for j in range(n)] for i in range(n)]) for x in (f, a)]
    squares = ((grams[0] - grams[1]) ** 2).sum()
    expected = {"gatys": squares / (4 * n**2 * m**2), "positions": squares / (m**2 * n**2)}
    expected |= {"channels": squares / n**2, "pixels": squares / (4 * n**2 * 60**2)}
    expected["johnson"] = squares / (n * m) ** 2 / n**2
    assert expected.keys() == set(get_args(GramScale))
    for scale, value in expected.items():
        assert compare(make_loss(GramStyle, scale=scale), own, other) == pytest.approx(value, rel=1e-10), scale


def test_moments_and_content_are_the_papers_formulas() -> None:
    own, other = make(0, 1, 2, 3, 5), make(1, 1, 2, 3, 5)
    f, a = (x[0].reshape(2, 15).numpy() for x in (own, other))
    moments = ((f.mean(1) - a.mean(1)) ** 2).mean()
    moments += ((np.sqrt(f.var(1) + 1e-5) - np.sqrt(a.var(1) + 1e-5)) ** 2).mean()
    assert compare(make_loss(MomentStyle), own, other) == pytest.approx(moments)
    assert compare(make_loss(Content), own, other) == pytest.approx(((f - a) ** 2).mean())
    assert compare(make_loss(Content, scale="gatys"), own, other) == pytest.approx(0.5 * ((f - a) ** 2).sum())


def test_guides_say_which_places_count() -> None:
    """A guide of ones is none; one that is zero elsewhere leaves the statistics of its places."""
    features, guide = make(0, 1, 4, 3, 6), torch.zeros(1, 1, 3, 6, dtype=torch.float64)
    guide[..., :3] = 2
    for loss in (make_loss(GramStyle), make_loss(MomentStyle)):
        whole = loss.describe(features, 18)
        torch.testing.assert_close(loss.describe(features, 18, torch.ones_like(guide)), whole)
        torch.testing.assert_close(loss.describe(features, 18, guide), loss.describe(features[..., :3], 9))
    with pytest.raises(UserError, match="SlicedStyle takes no masks"):
        make_loss(SlicedStyle).describe(features, 18, guide)


def test_sliced_distance_of_one_channel_compares_sorted_values() -> None:
    loss = make_loss(SlicedStyle, directions=3)
    own, other = make(0, 1, 1, 2, 4), make(1, 1, 1, 2, 4)
    expected = ((np.sort(own.numpy().ravel()) - np.sort(other.numpy().ravel())) ** 2).mean()
    assert compare(loss, own, other) == pytest.approx(expected)
    shuffled = own.flatten()[torch.randperm(8)].view(1, 1, 2, 4)
    assert compare(loss, own, shuffled) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", [Content, GramStyle, MomentStyle, SlicedStyle])
def test_perceptual_losses_pull_the_image_alone(kind: type, encoder: Vgg) -> None:
    loss = kind({"relu1_1": 1.0, "relu2_1": 0.5}, encoder)
    image, reference = make(0).float().requires_grad_(), make(1).float().requires_grad_()
    value = loss(image, reference)
    value.backward()
    assert value > 0
    assert image.grad.abs().max() > 0
    assert reference.grad is None
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    torch.manual_seed(0)
    assert loss(reference.detach(), reference) < 1e-10


def test_layers_have_the_names_of_the_paper_and_mean_activation_one(encoder: Vgg) -> None:
    assert encoder.names[:7] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1"]
    assert encoder.names[-2:] == ["relu5_3", "pool5"]
    noise = module.make_noise(0)
    deviation, mean = (torch.tensor(values).view(1, 3, 1, 1) for values in (module._DEVIATION, module._MEAN))
    found = encoder((noise * deviation + mean) * 2 - 1, [name for name in encoder.names if name.startswith("relu")])
    for name, feature in found.items():
        assert feature.mean().item() == pytest.approx(1, rel=1e-3), name
    with pytest.raises(UserError, match="Vgg has no layer 'relu9_1'"):
        encoder(noise, ["relu9_1"])


def test_weights_are_rescaled_unless_they_are_imagenets(tmp_path: Path) -> None:
    drawn, plain, scaled = (Vgg("small", "random", rescale=word) for word in ("auto", False, True))
    assert torch.equal(drawn.layers[2].weight, scaled.layers[2].weight)
    assert not torch.equal(drawn.layers[2].weight, plain.layers[2].weight)
    state = {f"features.{name.removeprefix('layers.')}": tensor for name, tensor in plain.state_dict().items()}
    torch.save(state, tmp_path / "vgg.pth")
    assert torch.equal(Vgg("small", str(tmp_path / "vgg.pth"), "auto").layers[2].weight, plain.layers[2].weight)
    with pytest.raises(UserError, match="encoder rescale 'yes' is not one of True, False, auto"):
        Vgg("small", "random", "yes")  # type: ignore[arg-type]


def test_weights_from_a_file_give_torchvisions_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = make_layers(cfgs["D"], batch_norm=False)
    torch.save({f"features.{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "vgg.pth")
    ours = Vgg("vgg16", str(tmp_path / "vgg.pth"), rescale=False)
    image = make(0, 1, 3, 32, 32).float()
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (module._MEAN, module._DEVIATION))
    expected = theirs[:16](((image + 1) / 2 - mean) / deviation)
    torch.testing.assert_close(ours(image, ["relu3_3"])["relu3_3"], expected, rtol=1e-4, atol=1e-5)


def test_caffes_preprocessing_is_bgr_in_255_without_the_mean() -> None:
    image = make(0, 1, 3, 4, 5)
    expected = ((image.numpy()[:, ::-1] + 1) / 2 * 255) - np.array([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
    found = Vgg("vgg16", weights="random", preprocessing="caffe").normalise(image)
    torch.testing.assert_close(found, torch.from_numpy(expected))


def test_recomputed_and_reduced_features_have_the_same_gradient(encoder: Vgg) -> None:
    again = Vgg("vgg16", weights="random", recompute=True)
    gradients = []
    for network, reduce in ((encoder, None), (again, lambda name, feature: feature.square().mean())):
        image = make(0).float().requires_grad_()
        found = network(image, ["conv1_1", "relu2_1", "relu2_2"], reduce)
        sum(x.square().mean() if reduce is None else x for x in found.values()).backward()
        gradients.append(image.grad)
    torch.testing.assert_close(*gradients)


def test_files_without_a_vgg_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(DataError, match=r"text\.pth: no weights can be read"):
        Vgg(weights=str(tmp_path / "text.pth"))
    torch.save({"features.0.weight": torch.zeros(2, 3)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth: it holds no features\.0\.weight of the right shape"):
        Vgg(weights=str(tmp_path / "other.pth"))


def test_offline_the_missing_file_and_the_way_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert module._find_url("vgg19").endswith("/vgg19-dcbb9e9d.pth")
    monkeypatch.setattr(module, "_find_url", lambda kind: "http://127.0.0.1:9/vgg19-dcbb9e9d.pth")
    message = r"vgg19-dcbb9e9d\.pth is not there and cannot be downloaded.*choose own"
    with pytest.raises(MachineError, match=message):
        Vgg()


def test_lpips_with_weights_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of random weights where torch keeps its cache stands for the download."""
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(MachineError, match=f"weights of squeeze are not in {tmp_path}.*no network.*put them there"):
        Lpips("squeeze")
    name = SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[1]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "hub" / "checkpoints" / name)
    loss, image, reference = Lpips("squeeze"), make(0, 1, 3, 64, 64).float(), make(1, 1, 3, 64, 64).float()
    assert loss(image, image) == 0
    distance = loss(image.requires_grad_(), reference.requires_grad_())
    distance.backward()
    assert distance > 0
    assert image.grad is not None
    assert reference.grad is None


def refuse(*_: object, **__: object) -> None:
    raise OSError("no network")


def test_total_variation_is_the_formula() -> None:
    image = make(0, 1, 2, 4, 5)
    x, total = image.numpy(), []
    for c in range(2):
        for i in range(3):
            for j in range(4):
                here = x[0, c, i, j]
                total.append(((x[0, c, i + 1, j] - here) ** 2 + (x[0, c, i, j + 1] - here) ** 2) ** 1.25)
    assert float(TotalVariation(2.5)(image)) == pytest.approx(np.mean(total))
    summed = TotalVariation(2.5, total=True)(torch.cat([image, image]))
    assert float(summed) == pytest.approx(sum(total) * 127.5**2.5)
    flat = torch.zeros(1, 3, 4, 4, requires_grad=True)
    TotalVariation(1.0)(flat).backward()
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize(
    "loss",
    [StructuralDissimilarity(), LabMean(), LabHistogram(), EdgeConsistency()],
    ids=lambda loss: type(loss).__name__,
)
def test_pixel_losses_are_zero_for_equals_and_have_slopes(loss: LabMean) -> None:
    image, reference = make(0).float().requires_grad_(), make(1).float()
    assert float(loss(reference, reference)) == pytest.approx(0, abs=1e-5)
    value = loss(image, reference)
    value.backward()
    assert value > 0.001
    assert torch.isfinite(image.grad).all()
    assert image.grad.abs().max() > 0
    black = torch.full((1, 3, 16, 16), -1.0, requires_grad=True)
    loss(black, reference[:1, :, :, :16]).backward()
    assert torch.isfinite(black.grad).all()


def test_colours_and_edges_see_what_they_should() -> None:
    image = make(0).float()
    shuffled = image.flatten(2)[:, :, torch.randperm(320, generator=torch.Generator().manual_seed(0))].view_as(image)
    for loss in (LabMean(), LabHistogram()):
        assert float(loss(shuffled, image)) == pytest.approx(0, abs=1e-5)
    assert float(EdgeConsistency()(shuffled, image)) > 0.05
    assert float(EdgeConsistency()(image * 0.5 + 0.2, image * 0.5)) == pytest.approx(0, abs=1e-5)
    white, black = torch.ones(1, 3, 8, 8), -torch.ones(1, 3, 8, 8)
    assert float(LabMean()(white, black)) == pytest.approx(1, abs=0.01)
    grey = torch.full((1, 3, 8, 8), -0.1)
    assert float(LabHistogram()(white, black)) > 2 * float(LabHistogram()(grey, black)) > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: TotalVariation(0.5),
        lambda: LabHistogram(1),
        lambda: SlicedStyle(directions=0),
        lambda: GramStyle(scale="x"),
        lambda: Content(scale="x"),
    ],
)
def test_senseless_settings_are_refused(make: object) -> None:
    with pytest.raises(UserError, match="must be"):
        make()


def test_what_a_loss_cannot_take_is_said() -> None:
    with pytest.raises(UserError, match="needs RGB, not 1 channels"):
        LabMean()(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(UserError, match="at least 176 pixels"):
        StructuralDissimilarity(multiscale=True)(make(0).float(), make(1).float())
    same = make(0, 1, 3, 180, 180).float()
    assert math.isclose(float(StructuralDissimilarity(multiscale=True)(same, same)), 0, abs_tol=1e-5)
