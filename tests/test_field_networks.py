"""The networks of the field's metrics: against the libraries' own, with weights that are a file's, and without."""

import math
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
from torchvision.models import AlexNet, inception_v3

from diptych.errors import DataError, MachineError, UserError
from diptych.images import normalise, to_pixels
from diptych.metrics import Batch
from diptych.metrics.extractor import resize_clean
from diptych.metrics.frechet import measure_frechet
from diptych.metrics.inception import Inception
from diptych.metrics.network import get_network
from diptych.metrics.registry import list_metrics
from diptych.metrics.transformer import CLIP, DINOKeys, DINOv2, Transformer

FIELD = ["fid", "kid", "precision", "recall", "density", "coverage", "dino_fd", "clip_mmd", "dino_structure", "artfid"]
OFFLINE = r"cannot be downloaded from https://\S+ \(there is no network\).* weights=FILE$"
NOT_INSTALLED = r"^(torch_fidelity|timm|huggingface_hub)\S* is not installed: pip install 'diptych\[metrics\]'$"


def draw_images(count: int, channels: int = 3, height: int = 40, width: int = 40, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def make(name: str, **arguments: Any) -> Any:
    return list_metrics()[name](**arguments)


def scale(network: nn.Module) -> nn.Module:
    """Draw weights that neither let numbers vanish nor grow."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return network.eval()


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in torch-fidelity's format."""

    class Unfilled(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> Any: ...

    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    empty = path.with_name("empty.pth")
    torch.save({}, empty)
    torch.save(scale(Unfilled("x", ["2048"], feature_extractor_weights_path=empty)).state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def forget() -> Any:
    yield
    get_network.cache_clear()


def test_inception_is_torch_fidelitys(inception: Path) -> None:
    state = torch.get_rng_state()
    extractor = get_network(Inception, "tf", str(inception))
    assert torch.equal(torch.get_rng_state(), state)
    images = normalise(to_pixels(draw_images(1)))
    theirs = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=inception)
    features = extractor(images)
    assert torch.equal(features, theirs(to_pixels(images))[0])
    assert features.shape == (1, 2048)
    assert features.std() > 1e-3
    grey = extractor(images[:, :1])
    assert torch.equal(grey, extractor(images[:, :1].repeat(1, 3, 1, 1)))
    assert extractor(draw_images(1, 4)).isnan().all()
    assert torch.equal(extractor(images + 0.2 / 255), features)  # as saved files would be
    assert get_network(Inception, "tf", str(inception)) is extractor
    told = extractor.describe()
    assert told["library"] == f"torch-fidelity {version('torch-fidelity')}"
    assert (told["weights"], len(told["sha256"]), told["resize"]) == ("inception.pth", 64, "tf 299")


def test_clean_resizing_is_torchs_antialiased_bicubic(inception: Path) -> None:
    """Which follows Pillow; nothing is rounded. At the network's own size both ways are the same."""
    pixels = to_pixels(draw_images(2, 3, 70, 50))
    for side in (20, 99):
        size = {"size": (side, side), "mode": "bicubic", "antialias": True, "align_corners": False}
        theirs = F.interpolate(pixels.float(), **size).clamp(0, 255)
        assert torch.allclose(resize_clean(pixels, side), theirs, atol=2e-3)
    tf, clean = (get_network(Inception, resize, str(inception)) for resize in ("tf", "clean"))
    images = draw_images(1, 3, 299, 299)
    assert torch.allclose(tf(images), clean(images), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(*(network(draw_images(1, 3, 400, 400)) for network in (tf, clean)), rtol=1e-2)
    with pytest.raises(UserError, match="it is tf, torch or clean"):
        make("fid", resize="nice").describe(Batch(images))


def test_metrics_share_what_a_network_sees(inception: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    extract = Inception.extract
    monkeypatch.setattr(Inception, "extract", lambda self, pixels: seen.append(len(pixels)) or extract(self, pixels))
    batch = Batch(draw_images(4))
    rows = [make(name, weights=str(inception)).describe(batch) for name in ("fid", "kid")]
    assert seen == [4]
    assert torch.equal(*rows)
    assert make("fid", weights=str(inception)).score(rows[0], rows[0] + 1).value == pytest.approx(2048, rel=1e-3)


def test_other_numbers_of_channels_have_no_score(inception: Path) -> None:
    metric = make("fid", weights=str(inception))
    rows = metric.describe(Batch(draw_images(5, 2)))
    assert math.isnan(metric.score(rows, rows).value)


def test_files_that_are_no_weights_of_a_network_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("nothing")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    torch.save(nn.Linear(1, 1), tmp_path / "code.pth")
    for name in ("text", "other", "code", "missing"):
        with pytest.raises(DataError, match=rf"{name}\.pth: "):
            make("fid", weights=str(tmp_path / f"{name}.pth")).describe(Batch(draw_images(1)))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing that can be downloaded."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("there is no network")

    monkeypatch.setattr("diptych.metrics.network.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("diptych.metrics.network.download_url_to_file", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    return tmp_path


def pair(count: int = 1) -> Batch:
    images = draw_images(count)
    return Batch(images, images, images)


@pytest.mark.parametrize("name", [*FIELD, "lpips"])
def test_without_a_network_a_line_says_which_file_is_missing(name: str, offline: Path) -> None:
    with pytest.raises(MachineError, match=OFFLINE) as error:
        make(name).describe(pair())
    assert "\n" not in str(error.value)


def test_what_torch_has_kept_is_taken(offline: Path, inception: Path) -> None:
    with pytest.raises(MachineError, match=r"whose SHA-256 begins with 6726825d"):
        make("fid").describe(pair())
    path = offline / "checkpoints" / URL_INCEPTION_V3.rpartition("/")[2]
    path.symlink_to(inception)
    assert make("fid").describe(pair()).shape == (1, 2048)
    assert make("fid").describe_network()["weights"] == path.name


@pytest.mark.parametrize("name", FIELD)  # torchmetrics is always there
def test_without_the_library_a_line_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("torch_fidelity", "timm", "huggingface_hub"):
        for module in [known for known in sys.modules if known.split(".")[0] == library]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MachineError, match=NOT_INSTALLED):
        make(name).describe(pair())


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in torchvision's format, its classifier's left out to save time."""
    path = tmp_path_factory.mktemp("weights") / "alexnet.safetensors"
    save_file({f"features.{key}": value for key, value in scale(AlexNet().features).state_dict().items()}, path)
    return path


def test_lpips_is_torchmetrics(alexnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = AlexNet()
    network.features.load_state_dict({key.partition(".")[2]: value for key, value in load_file(alexnet).items()})
    monkeypatch.setattr("torchvision.models.alexnet", lambda weights: network)
    outputs, truths = (normalise(to_pixels(draw_images(3, seed=seed))) for seed in (0, 1))
    theirs = learned_perceptual_image_patch_similarity(outputs, truths, net_type="alex", reduction="none")
    metric = make("lpips", weights=str(alexnet))
    rows = metric.describe(Batch(outputs, truths=truths))
    assert torch.allclose(rows, theirs, rtol=1e-5)
    assert rows.min() > 1e-3
    assert torch.allclose(metric.describe(Batch(outputs, truths=outputs)), torch.zeros(3), atol=1e-6)
    assert metric.describe_network()["library"].startswith("torchmetrics 1.")
    for other in (draw_images(3, 2), draw_images(3, 3, 40, 39)):
        assert metric.describe(Batch(outputs, truths=other)).isnan().all()
    small = draw_images(2, 1, 31, 31)
    assert metric.describe(Batch(small, truths=small)).isfinite().all()
    assert metric.describe(Batch(small[..., 1:], truths=small[..., 1:])).isnan().all()


SMALL = "test_vit.r160_in1k"


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a small transformer's random weights in timm's format."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model(SMALL).state_dict(), path)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (DINOv2, DINOKeys, CLIP):
        monkeypatch.setattr(kind, "model", SMALL)
        monkeypatch.setattr(kind, "side", 160)


@pytest.mark.parametrize("kind", [DINOv2, CLIP])
def test_transformers_are_timms(kind: type[Transformer], transformer: Path, small: None) -> None:
    extractor = get_network(kind, str(transformer))
    network = timm.create_model(SMALL).eval()
    network.load_state_dict(load_file(transformer))
    images = normalise(to_pixels(draw_images(2, 3, 160, 160)))
    expected = network(images)  # mean and deviation of this model are a half
    expected = F.normalize(expected) if kind is CLIP else expected
    assert torch.allclose(extractor(images), expected, rtol=1e-4, atol=1e-5)
    assert extractor(draw_images(2, 1, 50, 70)).shape == expected.shape
    assert extractor.describe()["library"].startswith("timm ")


def test_positions_are_those_of_dinov2(transformer: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of ten by ten, shrunk for a smaller image; constant positions stay as they are."""
    monkeypatch.setattr(DINOv2, "side", 96)
    extractor = get_network(DINOv2, str(transformer))
    state = load_file(transformer)
    adapted = extractor.adapt(state | {"pos_embed": torch.full_like(state["pos_embed"], 0.5)})["pos_embed"]
    assert adapted.shape == (1, 37, state["pos_embed"].shape[-1])
    assert torch.allclose(adapted, torch.tensor(0.5))
    assert torch.equal(extractor.network.get_parameter("pos_embed"), extractor.adapt(state)["pos_embed"])
    assert extractor(draw_images(2)).isfinite().all()


@torch.no_grad()
def test_the_structure_is_that_of_the_keys(transformer: Path, small: None) -> None:
    """Against the paper's formula, written out for one image at a time."""
    metric = make("dino_structure", weights=str(transformer))
    outputs, inputs = draw_images(2, 3, 160, 160), draw_images(2, 3, 160, 160, 1)
    network = timm.create_model(SMALL).eval()
    network.load_state_dict(load_file(transformer))
    rows = metric.describe(Batch(outputs, inputs))
    for row, *images in zip(rows, outputs, inputs, strict=True):
        relations = []
        for image in images:
            attention = network.blocks[-1].attn
            given: list[Tensor] = []
            hook = attention.register_forward_pre_hook(lambda layer, args, given=given: given.append(args[0]))
            network.forward_features(normalise(to_pixels(image[None])))
            hook.remove()
            tokens = attention.qkv(given[0])[0].reshape(-1, 3, attention.num_heads, attention.head_dim)
            keys = tokens[:, 1].flatten(1)
            relations.append(torch.stack([F.cosine_similarity(keys, key[None], dim=1) for key in keys]))
        assert float(row) == pytest.approx(float(F.mse_loss(*relations)), rel=1e-3)
    assert metric.describe(Batch(outputs, outputs)).abs().max() == 0
    assert metric.describe(Batch(draw_images(1, 1, 170, 250), draw_images(1, 3, 170, 250))).shape == (1,)
    for other in (draw_images(2, 3, 160, 250), draw_images(2, 4)):
        assert metric.describe(Batch(outputs, other)).isnan().all()


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in the format of ArtFID's, which has two classifiers and helps both on the way."""
    path = tmp_path_factory.mktemp("weights") / "art.pth"
    state = scale(inception_v3(weights=None, aux_logits=False, init_weights=False)).state_dict()
    more = {name: torch.ones(1) for name in ("fc1.weight", "fc2.bias", "AuxLogits1.fc.weight")}
    torch.save({key: value for key, value in state.items() if not key.startswith("fc.")} | more, path)
    return path


def test_artfid_is_the_product_of_its_parts(art: Path, alexnet: Path) -> None:
    metric = make("artfid", weights=str(art), lpips_weights=str(alexnet))
    outputs, contents, styles = (draw_images(3, 3, 80, 90, seed) for seed in range(3))
    rows, reals = metric.describe(Batch(outputs, contents)), metric.describe_reals(Batch(styles))
    assert rows.shape == reals.shape == (3, 2049)
    network = inception_v3(weights=None, aux_logits=False, init_weights=False).eval()
    network.fc = nn.Identity()
    network.load_state_dict(torch.load(art), strict=False)
    features = network(to_pixels(outputs) / 255)
    assert torch.allclose(rows[:, 1:], features, rtol=1e-4, atol=1e-5)
    lpips = make("lpips", weights=str(alexnet)).describe(Batch(outputs, truths=contents)).mean()
    expected = (1 + float(lpips)) * (1 + measure_frechet(rows[:, 1:], reals[:, 1:]))
    assert metric.score(rows, reals).value == pytest.approx(expected)
    assert {"network", "lpips_network", "sha256", "lpips_sha256"} <= set(metric.describe_network())
    tiny = metric.describe(Batch(*[draw_images(2, 3, 50, 90)] * 2))
    assert math.isnan(metric.score(tiny, tiny).value)
