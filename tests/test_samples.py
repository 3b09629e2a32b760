"""The grid of samples: what stands in it, and that nothing stands in it twice."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from diptych.callbacks import Samples, samples
from diptych.data import UnpairedData
from diptych.networks import build
from diptych.translators import NetworkTranslator


@pytest.mark.parametrize(
    ("directions", "titles"),
    [
        (["ab"], ["day", "to night", "true night"]),
        (["ba"], ["night", "to day", "true day"]),
        (["ab", "ba"], ["day", "to night", "back to day", "night", "to day", "back to night"]),
    ],
)
def test_the_truth_of_each_fake_stands_in_the_grid_once(
    directions: list[str], titles: list[str], tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, Tensor]] = []
    monkeypatch.setattr(samples, "draw_grid", lambda columns, scale: drawn.extend(columns))
    data = UnpairedData(str(tiny_data), load_size=16, crop_size=16, domains=("day", "night"))
    network = build("ResnetGenerator", width=2, blocks=1)
    Samples("unused").draw({way: NetworkTranslator(network) for way in directions}, data, 2)
    columns = dict(drawn)
    assert [title for title, _ in drawn] == titles
    for domain, name in data.names.items():
        shown = columns.get(name, columns.get(f"true {name}"))
        assert torch.equal(shown, data.load(domain, data.test_paths[domain]))
