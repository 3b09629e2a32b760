"""Every method: a golden run, a gradient for every weight of each player, terms as its paper writes them."""

import functools
import json
import os
from pathlib import Path

import pytest
import torch
from conftest import Batches, make_cyclegan, make_trainer
from pytorch_lightning import seed_everything
from torch.nn.functional import conv2d

from diptych.errors import UserError
from diptych.losses import (
    Content,
    CrossEntropy,
    GramStyle,
    HardDecoupled,
    LeastSquares,
    PatchNCE,
    SemanticRelation,
    TotalVariation,
    Transport,
)
from diptych.methods import (
    CUT,
    DCLGAN,
    WCT,
    AdaIN,
    DistanceGAN,
    Dumoulin,
    EncoderDecoder,
    Fusion,
    GcGAN,
    Johnson,
    Method,
    Pix2Pix,
    Schedule,
    SimDCL,
)
from diptych.methods.gcgan import GEOMETRIES
from diptych.networks import SimilarityHead, Vgg, build, find_default_layers

GOLDEN = Path(__file__).parent / "data" / "golden"
GENERATOR = {"network": "ResnetGenerator", "width": 4, "blocks": 2}
CONDITIONAL = {"network": "ConditionalGenerator", "styles": 2, "width": 2}
DISCRIMINATOR = {"network": "PatchDiscriminator", "width": 4, "layers": 2}
CONTRAST = {"layers": (0, 4, 8, 11), "projector": {"width": 8, "patches": 6}}
BOTH = {"adversarial_a": 1.0, "adversarial_b": 1.0}
ONE = {"adversarial_b": 1.0}
TURNED = {"adversarial_turned": 1.0}
BOTH_STYLES = torch.tensor([0, 1])  # the numbers of a batch's images of B
PAINTING = {"content": 1.0, "style": 10.0, "total_variation": 0.1}
FUSION = {
    "decoder": PAINTING,
    "content_autoencoder": {"reconstruction_a": 1.0, "squared_a": 0.5},
    "style_autoencoder": {"reconstruction_b": 1.0, "squared_b": 0.5},
}

METHODS = {
    "cut": (CUT, {"adversarial_ab": 1.0, "contrastive_a": 0.5, "contrastive_b": 0.5, "identity_b": 1.0}, ONE, CONTRAST),
    "fastcut": (CUT, {"adversarial_ab": 1.0, "contrastive_a": 10.0}, ONE, {**CONTRAST, "flip_equivariance": True}),
    "monce": (
        CUT,
        {"adversarial_ab": 1.0, "contrastive_a": 1.0, "contrastive_b": 1.0, "identity_b": 0.0},
        ONE,
        {**CONTRAST, "contrastive": PatchNCE(negatives=Transport())},
    ),
    "src": (
        CUT,
        {"adversarial_ab": 1.0, "contrastive_a": 1.0, "relation_a": 1.0},
        ONE,
        {**CONTRAST, "contrastive": HardDecoupled(), "relation": SemanticRelation()},
    ),
    "qsattn": (
        CUT,
        {"adversarial_ab": 1.0, "contrastive_a": 1.0},
        ONE,
        {**CONTRAST, "projector": {"width": 8, "patches": 6, "selection": "attention"}},
    ),
    "dclgan": (
        DCLGAN,
        {f"{term}_{domain}": 1.0 for term in ("contrastive", "identity") for domain in "ab"}
        | {"adversarial_ab": 0.5, "adversarial_ba": 0.5},
        BOTH,
        {**CONTRAST, "projector_optimizer": {"lr": 1e-3, "betas": (0.9, 0.999)}},
    ),
    "simdcl": (
        SimDCL,
        {f"{term}_{domain}": 1.0 for term in ("contrastive", "identity", "similarity") for domain in "ab"}
        | {"adversarial_ab": 0.5, "adversarial_ba": 0.5},
        BOTH,
        CONTRAST,
    ),
    "gcgan": (GcGAN, {**TURNED, "adversarial_ab": 1.0, "geometry": 20.0, "identity_b": 1.0}, {**TURNED, **ONE}, {}),
    "distancegan": (DistanceGAN, {"adversarial_ab": 1.0, "distance": 0.5}, ONE, {}),
    "pix2pix": (Pix2Pix, {"adversarial_ab": 1.0, "reconstruction_b": 100.0}, ONE, {}),
    "adain": (AdaIN, PAINTING, None, {"init": "kaiming", "init_gain": 1.0}),
    "wct": (WCT, {"pixel": 1.0, "feature": 1.0}, None, {"init": "kaiming", "deepest": 3, "levels": 2}),
    "fusion": (Fusion, FUSION, None, {"width": 4}),
    "fusion_concatenate": (Fusion, FUSION, None, {"width": 4, "fusion": "concatenate"}),
    "johnson": (Johnson, PAINTING, {}, {}),
    "johnson_adversarial": (Johnson, {**PAINTING, "adversarial_ab": 0.5}, ONE, {}),
    "dumoulin": (Dumoulin, PAINTING, {}, {}),
    "encoder_decoder": (EncoderDecoder, {"reconstruction_b": 1.0, "squared_b": 0.5}, None, {}),
}


def make(name: str, network: object = None, **changes: object) -> Method:
    """Return a method of a few thousand weights with the weights of seed 0."""
    kind, generator, discriminator, settings = METHODS[name]
    network = network or (CONDITIONAL if kind is Dumoulin else GENERATOR)
    adam = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    seed_everything(0, verbose=False)
    shared = {"schedule": Schedule(2, 2), "init": "xavier", "init_gain": 0.5, **settings, **changes}
    if kind in (AdaIN, WCT, Fusion, Johnson, Dumoulin):
        shared |= {"encoder": Vgg("vgg16", "random")}
    if kind in (Fusion, Johnson, Dumoulin):
        shared |= {"total_variation": TotalVariation()}
        shared |= {"content": functools.partial(Content, {"relu2_1": 1.0})}
        shared |= {"style": functools.partial(GramStyle, {"relu1_1": 1.0, "relu2_1": 1.0})}
    if discriminator is None:
        weights = generator if kind is Fusion else {"generator": generator}
        return kind(GENERATOR, weights=weights, optimizer=dict.fromkeys(weights, adam), **shared)
    weights = {"generator": generator, "discriminator": discriminator}
    optimizer = {"generator": adam, "discriminator": adam}
    return kind(network, DISCRIMINATOR, LeastSquares(), weights=weights, optimizer=optimizer, **shared)


@pytest.mark.parametrize("name", METHODS)
def test_golden_three_steps(name: str) -> None:
    """A seeded run gives the recorded losses; `DIPTYCH_REGENERATE=1` records them anew."""
    method, losses = make(name).double(), []
    log_dict = method.log_dict
    method.log_dict = lambda values: (losses.append({k: float(v) for k, v in values.items()}), log_dict(values))[1]
    make_trainer(precision="64-true").fit(method, Batches(batch_size=2, dtype=torch.float64))
    path = GOLDEN / f"{name}.json"
    if os.environ.get("DIPTYCH_REGENERATE"):
        path.write_text(json.dumps(losses, indent=1) + "\n")
    expected = json.loads(path.read_text())
    assert len(losses) == len(expected) == 3 * (1 + len(method.players()))
    for row, golden in zip(losses, expected, strict=True):
        assert row == pytest.approx(golden, rel=1e-6)


@pytest.mark.parametrize("name", [*METHODS, "cyclegan"])
def test_every_parameter_of_a_player_gets_a_gradient_and_no_other(name: str) -> None:
    method = make_cyclegan() if name == "cyclegan" else make(name)
    frozen = {path for path, parameter in method.named_parameters() if not parameter.requires_grad}
    assert all(name in ("adain", "wct") and ".encoder." in path for path in frozen)
    for player in method.players():
        method.zero_grad()
        with player.alone(method.parameters()):
            images = method.render(
                {"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16), "index_b": BOTH_STYLES}
            )
            method.weights.sum(player.name, player.terms(images)).backward()
        own = {id(parameter) for parameter in player.parameters()}
        for path, parameter in method.named_parameters():
            if id(parameter) in own:
                assert parameter.grad is not None, f"{path} has no gradient"
                # A bias before an instance norm has no effect: the norm takes the mean away again.
                assert path.endswith("bias") or parameter.grad.abs().max() > 0, f"the gradient of {path} is zero"
            else:
                assert parameter.grad is None, f"{path} is not {player.name}'s"
    assert {path for path, parameter in method.named_parameters() if not parameter.requires_grad} == frozen


def test_projectors_have_an_optimizer_setting_of_their_own() -> None:
    method = make("dclgan")
    _, generator = method.configure_optimizers()
    rates = {id(p): group["lr"] for group in generator.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in method.projector_a.parameters()} == {1e-3}
    assert {rates[id(p)] for p in method.generator_ba.parameters()} == {2e-4}
    assert [group["betas"] for group in generator.param_groups] == [(0.5, 0.999), (0.9, 0.999)]


def test_flipped_images_are_compared_with_unflipped_features() -> None:
    """A network that commutes with mirroring makes the flip invisible to the contrastive term."""
    method = make("fastcut", layers=(0, 1))  # the padded image and the convolution made symmetric
    for module in method.generator_ab.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d) and module.kernel_size == (7, 7):
            module.weight.data = module.weight.data + module.weight.data.flip(-1)
    batch = {"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)}
    values = []
    for flipped in (False, True):
        method.flip_equivariance = False
        images = method.render(batch) | {"flipped": torch.tensor([flipped])}
        images["fake_b"] = batch["b"].flip(-1) if flipped else batch["b"]
        torch.manual_seed(3)
        values.append(method.generator_terms(images)["contrastive_a"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_similarity_sees_the_kind_and_not_the_order_of_layers_patches() -> None:
    """The mapper in a few plain lines; a layer of fewer patches decides how many count."""
    mapper, layers = SimilarityHead(2, 5), [torch.rand(1, 9, 8), torch.rand(1, 7, 8)]
    image = torch.stack([layer[:, :7] for layer in layers], 1)
    hidden = torch.relu(conv2d(image, mapper.model[0].weight, mapper.model[0].bias, stride=2)).mean((2, 3))
    vector = mapper.model[6](torch.relu(mapper.model[4](hidden)))
    torch.testing.assert_close(mapper(layers), vector / vector.norm(dim=1, keepdim=True))
    assert mapper([layer[:, :1] for layer in layers]).isfinite().all()
    method = make("simdcl")
    method.mapper_fake_a.load_state_dict(method.mapper_real_a.state_dict())
    images = method.render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    apart = method.generator_terms(images)["similarity_a"]
    images["fake_a"] = images["real_a"]
    assert method.generator_terms(images)["similarity_a"] < apart


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_geometric_changes_have_inverses_and_a_consistent_generator_no_loss(geometry: str) -> None:
    turn, back = GEOMETRIES[geometry]
    image = torch.rand(1, 3, 4, 4)
    assert torch.equal(back(turn(image)), image)
    assert not torch.equal(turn(image), image)
    method = make("gcgan", geometry=geometry)
    images = method.render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    images["fake_turned"] = turn(images["fake_b"])
    assert method.generator_terms(images)["geometry"] == 0
    with pytest.raises(UserError, match=r"method\.geometry = shear must be one of rotation, flip"):
        make("gcgan", geometry="shear")


def test_johnsons_terms_are_the_losses_of_the_rendered_images() -> None:
    method = make("johnson")
    images = method.render({"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)})
    terms = method.generator_terms(images)
    torch.testing.assert_close(terms["content"], method.loss.content(images["fake_b"], images["real_a"]))
    torch.testing.assert_close(terms["style"], method.loss.style(images["fake_b"], images["real_b"]))
    assert not any("encoder" in name for name in method.state_dict())
    with pytest.raises(UserError, match="VGG looks at RGB: A has 1 channels and B has 3"):
        make("johnson", channels={"a": 1, "b": 3})


def test_pix2pix_judges_images_beside_their_input() -> None:
    method = make("pix2pix")
    assert method.discriminator_b.arguments["in_channels"] == 6
    images = method.render({"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)})
    judged = method.discriminator_b(torch.cat((images["real_a"], images["fake_b"]), dim=1))
    torch.testing.assert_close(method.generator_terms(images)["adversarial_ab"], LeastSquares().generator(judged))


@pytest.mark.parametrize("name", ["pix2pix", "encoder_decoder"])
def test_paired_methods_refuse_unpaired_data(name: str, tiny_data: Path) -> None:
    from diptych.data import UnpairedData

    settings = {"load_size": 18, "crop_size": 16, "workers": 0}
    with pytest.raises(UserError, match=r"learns from pairs: data\.paired=true"):
        make_trainer().fit(make(name), UnpairedData(str(tiny_data), **settings))
    make_trainer(limit_train_batches=1).fit(make(name), UnpairedData(str(tiny_data), paired=True, **settings))


def test_default_layers_are_the_published_layers_or_what_corresponds() -> None:
    sampling = {"upsampling": "antialias", "downsampling": "antialias"}
    assert find_default_layers(build("ResnetGenerator", width=4, **sampling)) == [0, 4, 8, 12, 16]
    assert find_default_layers(build("ResnetGenerator", width=4, blocks=4)) == [0, 4, 7, 10, 12]
    assert find_default_layers(build("ResnetGenerator", width=4, blocks=1)) == [0, 4, 7, 10]
    assert make("cut", layers=None).contrast.layers == (0, 4, 7, 10, 11)
    assert make("dclgan", layers=None).contrast.layers == (4, 7, 10, 11)


def test_wrong_layers_and_networks_without_features_are_named() -> None:
    with pytest.raises(UserError, match=r"method\.layers = \[4, 99\] must be numbers from 0 to"):
        make("cut", layers=(4, 99))
    adam = functools.partial(torch.optim.Adam, lr=2e-4)
    with pytest.raises(UserError, match="UnetGenerator has no features to look at; generator=resnet has"):
        CUT(
            {"network": "UnetGenerator", "width": 4, "depth": 3},
            DISCRIMINATOR,
            CrossEntropy(),
            weights={},
            optimizer={"generator": adam},
            schedule=Schedule(1, 1),
        )


def test_unlike_channels_forbid_an_identity() -> None:
    with pytest.raises(UserError, match=r"contrastive_b and identity_b must be 0: A has 3 channels and B has 1"):
        make("cut", channels={"a": 3, "b": 1})
