"""WCT: covariances exchanged level by level, codes that mix, a bundle that takes any style."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import paint_in
from test_family import make
from torch import Tensor

from diptych.errors import UserError
from diptych.networks import WCTGenerator
from diptych.networks.statistics import raise_power
from diptych.networks.wct_generator import colour_features, measure_covariance, whiten
from diptych.translators import NetworkTranslator, Style, load_translator


@pytest.fixture(scope="module")
def network() -> WCTGenerator:
    torch.manual_seed(0)
    return WCTGenerator(encoder="small", deepest=3, levels=2).eval().requires_grad_(False)


def paint(seed: int, height: int = 40, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_features_are_whitened_and_coloured_as_the_paper_says() -> None:
    """Equations 1 and 2 in NumPy."""
    random = torch.Generator().manual_seed(0)
    content, style = (torch.randn(1, 6, 9, 7, generator=random, dtype=torch.float64) * 3 + 1 for _ in range(2))
    mean, covariance = measure_covariance(style)
    found = colour_features(whiten(content), mean, raise_power(covariance, 0.5))[0].flatten(1).numpy()

    def decompose(features: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        flat = features[0].flatten(1).numpy()
        average = flat.mean(1, keepdims=True)
        values, vectors = np.linalg.eigh(np.cov(flat) + 1e-5 * np.eye(6))
        return flat - average, average, values, vectors

    apart, _, values, vectors = decompose(content)
    white = vectors @ np.diag(values**-0.5) @ vectors.T @ apart
    np.testing.assert_allclose(np.cov(white), np.eye(6), atol=1e-4)
    _, average, values, vectors = decompose(style)
    np.testing.assert_allclose(found, vectors @ np.diag(values**0.5) @ vectors.T @ white + average, atol=1e-8)


def test_levels_go_from_deep_to_shallow(network: WCTGenerator) -> None:
    assert list(network.decoder) == ["relu3_1", "relu2_1"]
    content, code = paint(0), network.encode_style(paint(1))
    image = content
    for name, (mean, root) in zip(network.names, network._split(code), strict=True):
        image = network.decoder[name](colour_features(whiten(network.encoder(image, (name,))[name]), mean, root))
    torch.testing.assert_close(network(content, code), image)
    with pytest.raises(UserError, match=r"levels = 3 must be at most deepest = 2"):
        WCTGenerator(encoder="small", deepest=2, levels=3)
    with pytest.raises(UserError, match="cannot differ from place to place"):
        network(content, code.expand(-1, -1, 2, 2))


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (33, 16)])
def test_any_size_comes_back(network: WCTGenerator, size: tuple[int, int]) -> None:
    found = network(paint(0, *size), network.encode_style(paint(1)))
    assert found.shape[-2:] == size
    assert found.isfinite().all()


def test_styles_are_mixed_by_weights_masks_and_strength(network: WCTGenerator) -> None:
    content, one, two = (paint(seed, 32, 48) for seed in range(3))
    codes = [network.encode_style(style) for style in (one, two)]
    alone = paint_in(network, content, [Style(one)])
    torch.testing.assert_close(alone, network(content, codes[0]).clamp(-1, 1), atol=1e-4, rtol=1e-4)
    mixed = paint_in(network, content, [Style(one, weight=7), Style(two, weight=3)])
    wanted = network.blend(content, codes, [torch.full((1, 1, 1, 1), share) for share in (0.7, 0.3)]).clamp(-1, 1)
    torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=1e-4)
    ones = torch.ones(1, 1, 32, 48)
    torch.testing.assert_close(paint_in(network, content, [Style(one, mask=ones)]), alone, atol=1e-3, rtol=1e-3)
    left = ones.clone()
    left[..., 24:] = 0
    halves = paint_in(network, content, [Style(one, mask=left), Style(two, mask=1 - left)])
    assert (halves - alone)[..., :8].abs().mean() < (halves - alone)[..., 40:].abs().mean()
    torch.testing.assert_close(paint_in(network, content, [Style(one)], 0.0), content, atol=1e-5, rtol=0)
    away = [(paint_in(network, content, [Style(one)], s) - content).abs().mean() for s in (0, 0.3, 0.6, 1)]
    assert all(later > earlier for earlier, later in pairwise(away))


def test_terms_are_the_papers() -> None:
    method = make("wct")
    network, batch = method.generator_ab, {"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 24, 16)}
    images = method.render(batch)
    terms = method.generator_terms(images)
    pixels, features = [], []
    for image in batch.values():
        for name in ("relu3_1", "relu2_1"):
            feature = network.encoder(image, (name,))[name]
            drawn = network.decoder[name](feature)
            pixels.append((drawn - image).square().mean())
            features.append((network.encoder(drawn, (name,))[name] - feature).square().mean())
    torch.testing.assert_close(terms["pixel"], sum(pixels) / 4)
    torch.testing.assert_close(terms["feature"], sum(features) / 4)
    method.update_statistics(images.__getitem__)
    torch.testing.assert_close(network.mean_code, network.encode_style(batch["b"]))


def test_a_bundle_carries_its_encoder(network: WCTGenerator, tmp_path: Path) -> None:
    NetworkTranslator(network).save(tmp_path / "ab.safetensors")
    loaded = load_translator(tmp_path / "ab.safetensors")
    content, style = paint(0), paint(1, 20, 60)
    expected = network(content, network.encode_style(style)).clamp(-1, 1)
    torch.testing.assert_close(loaded(content, style), expected)
