"""The script that compares methods: equal time, runs taken up again, one classifier, a row for each."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_train import ROOT

from diptych.metrics import DomainClassifier, evaluation_data

sys.path.insert(0, str(ROOT / "scripts"))
script = importlib.import_module("compare_methods")

VARIANTS = """
common: [experiment=emoji, data.workers=0, data.cache=false, data.load_size=16, data.crop_size=16, generator.width=4,
  discriminator.layers=1]
small: &small [generator.blocks=1]
house: &house [*small, seed=1]
paired: [pairs]
variants:
  plain: [method=distancegan, *house]
  pairs: [method=encoder_decoder, data.paired=true]
"""


def test_variants_take_shared_words_and_pairs_only_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "VARIANTS", tmp_path / "variants.yaml")
    script.VARIANTS.write_text(VARIANTS)
    words = script.read_variants(None)
    assert list(words) == ["plain"]
    assert words["plain"][-2:] == ["generator.blocks=1", "seed=1"]
    assert script.read_variants(tmp_path)["pairs"][-1] == f"data.root={tmp_path}"


@pytest.mark.slow
def test_runs_of_equal_time_are_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "VARIANTS", tmp_path / "variants.yaml")
    script.VARIANTS.write_text(VARIANTS)
    monkeypatch.setattr(script, "PROBE", 50)
    classifier = DomainClassifier(
        torch.nn.Sequential(torch.nn.AvgPool2d(64), torch.nn.Flatten(), torch.nn.Linear(3, 3)), 0.5
    )
    monkeypatch.setattr(evaluation_data, "train_classifier", lambda *_: classifier)
    out = tmp_path / "runs"
    for words in (["train", "--minutes", "0.02"], ["train", "--minutes", "0.02"], ["measure"]):
        monkeypatch.setattr(sys, "argv", ["compare_methods.py", *words, "--out", str(out)])
        if words == ["train", "--minutes", "0.02"] and out.exists():  # what is there is not trained again
            monkeypatch.setattr(script.Work, "train", None)
        script.main()
    plain, copying, blurring, real, real_test = json.loads((out / "results.json").read_text())
    assert plain["batches"] == max(2, round(0.02 * 60 * plain["batches per second"]) // 2 * 2)
    assert plain["peak MiB"] > 100
    assert copying["copying"] == 1
    assert (blurring["name"], real["name"], real_test["name"]) == ("blurring", "real train B", "real test B")
    assert {"classified_b", "classified_neither"} <= real_test.keys()
    assert Image.open(out / "methods.png").size[1] == 3 * 18  # input, the variant, truth


def test_mistakes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["compare_methods.py", "measure", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds no finished run"):
        script.main()
    monkeypatch.setattr(sys, "argv", ["compare_methods.py", "train", "--out", str(tmp_path), "--only", "pix2pix"])
    with pytest.raises(SystemExit, match=r"--only pix2pix: must be one of .* \(some need --paired\)"):
        script.main()
