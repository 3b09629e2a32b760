"""The benchmarks of painting compare forms that compute the same."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from test_benchmark import run
from torch import Tensor

from benchmarking import painting
from diptych.losses import StyleReference
from diptych.networks import AdaINGenerator
from diptych.translators import make_gatys


def test_plain_adain_computes_the_same() -> None:
    torch.manual_seed(0)
    network = AdaINGenerator(encoder="small").eval().requires_grad_(False)
    content, style = painting.draw(1, 40), painting.draw(2, 32)
    expected = network(content, network.encode_style(style))
    torch.testing.assert_close(painting.PlainAdaIN(network)(content, style), expected, rtol=1e-4, atol=1e-4)


def test_every_descent_lowers_one_and_the_same_loss() -> None:
    gatys, content, style = make_gatys("plain", "own"), painting.draw(1, 48), StyleReference(painting.draw(2, 48))
    losses = {kind: list(islice(painting.walk(gatys, kind, content, style), 3)) for kind in painting.VARIANTS}
    assert losses["textbook"] == pytest.approx(losses["lbfgs"], rel=1e-4)
    assert losses["recompute"] == losses["lbfgs"]
    assert losses["lbfgs"][2] < losses["lbfgs"][0]
    assert losses["scipy"][0] < losses["lbfgs"][0]  # a round of it ends below the start


@pytest.mark.exhaustive
@pytest.mark.slow
def test_painting_is_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    for words, variants in (
        (["paint", "--size=32", "--network=adain"], {"plain loop, fp32", "diptych"}),
        (["descend", "--size=48", "--steps=2", "--encoder=own"], set(painting.VARIANTS)),
    ):
        path = tmp_path / f"{words[0]}.json"
        done = run("benchmark.py", *words, "--rounds=2", f"--json={path}")
        assert done.returncode == 0, done.stderr
        record = json.loads(path.read_text())["variants"]
        assert set(record) == variants
        assert all(len(facts["rates"]) == 2 and facts["peak MiB"] > 0 for facts in record.values())


def test_images_have_structure_at_every_scale() -> None:
    def measure_contrast(image: Tensor, side: int) -> float:
        return float(torch.nn.functional.avg_pool2d(image, side).std())

    image = painting.draw(0, 128)
    assert all(measure_contrast(image, side) > 0.1 for side in (1, 8, 32))
    assert image.abs().max() <= 1
