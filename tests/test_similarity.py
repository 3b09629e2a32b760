"""How alike styles are: the distances against their definitions, and the command."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from diptych.cli import main
from diptych.images import read_tensor, write_image
from diptych.inference import compare_styles
from diptych.losses import GramStyle
from diptych.networks import Vgg


def paint(seed: int, smooth: int) -> Tensor:
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(noise, smooth, 1, smooth // 2)
    return (blurred / blurred.std() * 0.3).clamp(-1, 1)[0]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two fine textures and two coarse ones, one of these below."""
    for name, seed, smooth in (("a", 0, 1), ("b", 1, 1), ("c", 2, 9), ("below/d", 3, 9)):
        write_image(paint(seed, smooth), tmp_path / "pictures" / f"{name}.png")
    return tmp_path / "pictures"


def test_distances_are_those_of_the_style_losses(pictures: Path) -> None:
    encoder = Vgg("vgg16", "random")
    paths = [pictures / "a.png", pictures / "c.png"]
    found = compare_styles(paths, encoder, 64)
    images = [read_tensor(path)[None] for path in paths]
    assert float(found.distances["gram"][0, 1]) == pytest.approx(float(GramStyle(None, encoder)(*images)), rel=1e-4)
    vectors = []
    for image in images:
        features = encoder(image, encoder.style_layers).values()
        stats = [torch.cat([f[0].mean((1, 2)), (f[0].var((1, 2), unbiased=False) + 1e-5).sqrt()]) for f in features]
        vectors.append(torch.cat(stats))
    assert float(found.distances["euclidean"][0, 1]) == pytest.approx(float((vectors[0] - vectors[1]).norm()), rel=1e-4)
    cosine = 1 - float(torch.cosine_similarity(*vectors, dim=0))
    assert float(found.distances["cosine"][0, 1]) == pytest.approx(cosine, rel=1e-2)
    for matrix in found.distances.values():
        torch.testing.assert_close(matrix, matrix.T)
        assert matrix.diagonal().abs().max() == 0


def test_like_styles_find_each_other(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder is searched recursively; fine and coarse textures pair up, though no two show the same."""
    words = ["similarity", str(pictures), "--encoder", "own", "--size", "64", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    with (tmp_path / "out" / "similarity.csv").open() as file:
        rows = {frozenset((Path(r["one"]).stem, Path(r["other"]).stem)): r for r in csv.DictReader(file)}
    assert len(rows) == 6
    for kind in ("euclidean", "cosine", "gram"):
        nearest = sorted(rows, key=lambda pair, kind=kind: float(rows[pair][kind]))[:2]
        assert set(nearest) == {frozenset("ab"), frozenset("cd")}, kind
    with Image.open(tmp_path / "out" / "similarity.png") as picture:
        assert picture.size[0] > 3 * 5 * 72
    assert "most alike" in capfd.readouterr().out


def test_one_image_is_too_few(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["similarity", str(pictures / "a.png"), "--encoder", "random", "--out", str(tmp_path / "out")]) == 2
    assert "error: similarity compares at least two images" in capfd.readouterr().err
    assert main(["similarity", str(tmp_path / "none"), "--encoder", "random", "--out", str(tmp_path / "out")]) == 4
    assert "no such file or folder" in capfd.readouterr().err
