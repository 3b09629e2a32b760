"""Bundles of format 1, and results of the code that wrote them: tests/data/format1, which no change may move."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from diptych.translators import GatysTranslator, Style, load_translator, make_gatys

FORMAT1 = Path(__file__).parent / "data" / "format1"
STYLED = ("adain", "wct", "fusion", "conditional")


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(FORMAT1 / "expected.safetensors")


def check(found: Tensor, wanted: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(found, wanted.clamp(-1, 1), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["resnet", "unet", *STYLED])
def test_bundles_translate_as_they_did(name: str, expected: dict[str, Tensor]) -> None:
    translator = load_translator(FORMAT1 / f"{name}.safetensors")
    check(translator(expected["content"]), expected[f"{name}.plain"])


@pytest.mark.parametrize("name", STYLED)
def test_bundles_paint_in_styles_as_they_did(name: str, expected: dict[str, Tensor]) -> None:
    """One style, half of it, two by weight and mask, and a weakened one in its place alone."""
    translator = load_translator(FORMAT1 / f"{name}.safetensors")
    content, style, mask = (expected[key] for key in ("content", "style", "mask"))
    other = content if name == "conditional" else style.flip(-1)
    mixture = [Style(style, weight=2, mask=mask), Style(other, weight=1, mask=1 - mask)]
    check(translator(content, style), expected[f"{name}.styled"])
    *_, half = translator.iterate(content, style, strength=0.5)
    check(half.image, expected[f"{name}.half"])
    check(translator(content, mixture), expected[f"{name}.mixed"])
    *_, partly = translator.iterate(content, mixture[:1], strength=0.7)
    check(partly.image, expected[f"{name}.partly"])
    encoded = translator.encode(mixture)
    check(translator(content, encoded), expected[f"{name}.mixed"])


def make(steps: int, **settings: object) -> GatysTranslator:
    return make_gatys("plain", "own", steps=steps, **settings)


@pytest.mark.parametrize(
    ("name", "gatys", "mixed"),
    [
        ("lbfgs", make(6), True),
        ("adam", make(9, optimizer="adam", scales=(0.8, 1.0)), False),
        ("noise", make(3, start="noise"), False),
    ],
)
def test_optimisation_goes_where_it_went(
    name: str, gatys: GatysTranslator, mixed: bool, expected: dict[str, Tensor]
) -> None:
    content, style, other, mask = (expected[f"gatys.{key}"] for key in ("content", "style", "other", "mask"))
    styles = [Style(style, weight=2, mask=mask), Style(other)] if mixed else [Style(style)]
    check(gatys(content, styles), expected[f"gatys.{name}"], 1e-3)
