"""What one word does: methods that bring their networks, ready terms, encoders, and parts that weigh 1."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from diptych.networks import build_for
from diptych.translators import load_translator

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
sys.path.insert(0, str(ROOT))
import train  # noqa: E402

METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))
EXTRAS = sorted(path.stem for path in (CONF / "extra").glob("*.yaml"))
OFFLINE = [name for name in EXTRAS if name != "lpips"]  # which downloads its network
BROUGHT = dict.fromkeys(("cut", "fastcut", "dclgan", "simdcl"), "cut") | {"pix2pix": "unet", "dumoulin": "conditional"}
NETWORKS = {"cut": "ResnetGenerator", "unet": "UnetGenerator", "conditional": "ConditionalGenerator"}
SAMPLING = {"cut": "antialias", "unet": "strided", "conditional": "strided"}


def compose(*overrides: str) -> Any:
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        return hydra.compose("train", overrides=list(overrides))


def run(monkeypatch: pytest.MonkeyPatch, data: Path, run_dir: Path, *overrides: str) -> list[str]:
    """Train two batches through the entry point, and return the names of the terms."""
    tiny = ["data.load_size=18", "data.crop_size=16", "data.workers=0", "generator.width=4", "discriminator.width=4"]
    short = ["method.schedule.epochs=1", "method.schedule.decay_epochs=0", "trainer.limit_train_batches=2"]
    quiet = ["trainer.log_every_n_steps=1", "callbacks.finish.evaluation=false", "trainer=cpu"]
    words = [f"data.root={data}", f"run_dir={run_dir}", *tiny, *short, *quiet, *overrides]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    train.main()
    with (run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    return [name for name in rows[0] if "/" in name]


@pytest.mark.parametrize("experiment", ["custom", "emoji"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_composes_with_networks_that_take_their_arguments(method: str, experiment: str) -> None:
    config = OmegaConf.to_container(compose(f"experiment={experiment}", f"method={method}"))
    generator = build_for({**config["generator"], "width": 4}, in_channels=3, out_channels=3)
    build_for({**config["discriminator"], "width": 4}, in_channels=3)
    assert type(generator).__name__ == NETWORKS.get(BROUGHT.get(method, ""), "ResnetGenerator")
    assert config["discriminator"]["downsampling"] == SAMPLING.get(BROUGHT.get(method, ""), "strided")
    if BROUGHT.get(method) == "cut":
        assert (generator.arguments["upsampling"], generator.arguments["downsampling"]) == ("antialias", "antialias")
    assert (config["generator"]["width"] == 16) == (experiment == "emoji")


@pytest.mark.parametrize("experiment", ["custom", "emoji"])
def test_the_command_line_wins_over_a_method(experiment: str) -> None:
    config = compose(f"experiment={experiment}", "generator=resnet", "discriminator=pixel", "method=cut")
    assert config.generator.downsampling == "strided"
    assert config.discriminator.network == "PixelDiscriminator"
    assert compose(f"experiment={experiment}", "method=pix2pix", "generator=light").generator.separable


def test_an_experiment_that_chooses_a_method_has_its_networks() -> None:
    config = compose("experiment=sincut")
    assert config.generator.upsampling == config.discriminator.downsampling == "antialias"


def test_the_default_is_cyclegan_in_both_directions() -> None:
    config = compose()
    assert config.name == "flat2fluent"
    assert config.method._target_ == "diptych.methods.CycleGAN"
    assert compose("experiment=flat2fluent_gan").method._target_ == "diptych.methods.GAN"


@pytest.mark.parametrize("method", ["cut", "fastcut", "dclgan", "gan", "pix2pix"])
def test_a_method_trains_with_its_own_networks(
    method: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paired = ["data.paired=true", "generator.depth=3"] if method == "pix2pix" else []
    run(monkeypatch, tiny_data, tmp_path / "run", "experiment=emoji", f"method={method}", *paired)
    network = load_translator(tmp_path / "run" / "translators" / "ab.safetensors").network
    assert type(network).__name__ == NETWORKS.get(BROUGHT.get(method, ""), "ResnetGenerator")
    if BROUGHT.get(method) == "cut":
        assert network.arguments["downsampling"] == "antialias"


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        ("+extra=gram", {"gram_ab", "gram_ba"}),
        ("method=cut +extra=[colour,total_variation]", {"colour_ab", "total_variation_ab"}),
        ("experiment=flat2fluent +extra=gram", {"gram_ab", "gram_ba", "low_resolution_ab", "low_resolution_ba"}),
        (
            f"method=gan +extra=[{','.join(OFFLINE)}]",
            {f"{name}_ab" for name in OFFLINE},
        ),
    ],
)
def test_ready_terms_join_those_of_a_method(
    words: str, terms: set[str], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = [] if "experiment=" in words else ["experiment=emoji"]
    names = run(monkeypatch, tiny_data, tmp_path / "run", *experiment, *words.split())
    own = ("adversarial", "cycle", "identity", "contrastive")
    generator = {name.removeprefix("generator/") for name in names if name.startswith("generator/")}
    assert {name for name in generator if not name.startswith(own)} == terms


PENALTY = "+method.penalty._target_=diptych.losses.R1"
REFUSED = [
    (f"{PENALTY} +method.weights.discriminator={{penalty_a:0,penalty_b:0}}", "method.penalty is configured"),
    ("method=fastcut +method.relation._target_=diptych.losses.SemanticRelation "
     "+method.weights.generator.relation_a=0", "method.relation is configured"),
    ("method=gan +extra=gram method.extras.gram.weight=0", "method.extras.gram is configured"),
    (f"method=johnson +encoder=random method.encoder.kind=small {PENALTY}", "no discriminator plays"),
    ("method=fusion +encoder=random method.encoder.kind=small method.width=4 +extra=gram", "decoder, content_auto"),
    ("+encoder=own", "CycleGAN takes no encoder"),
]  # fmt: skip


@pytest.mark.reliability
@pytest.mark.parametrize(("words", "line"), REFUSED)
def test_what_would_do_nothing_is_refused_in_a_line(
    words: str,
    line: str,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tiny_data, tmp_path / "run", "experiment=emoji", *words.split())
    assert stop.value.code == 2
    (error,) = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert line in error


def test_a_configured_part_weighs_one(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relation = "+method.relation._target_=diptych.losses.SemanticRelation"
    lecam = "+method.lecam._target_=diptych.losses.LeCam"
    names = run(monkeypatch, tiny_data, tmp_path / "run", "experiment=emoji", "method=cut", relation, lecam, PENALTY)
    parts = {"generator/relation_a", "generator/relation_b", "discriminator/penalty_b", "discriminator/lecam_b"}
    assert parts <= set(names)


def test_a_term_that_is_off_needs_no_plus(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = "method.weights.generator.identity_b=1"
    assert "generator/identity_b" in run(
        monkeypatch, tiny_data, tmp_path / "run", "method=gcgan", weight, "experiment=emoji"
    )


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("method.weights.discriminator.penalty_b=10", "+method.weights.discriminator.penalty_b=VALUE adds a weight"),
        ("method=base_gan", "there is no method=base_gan"),
    ],
)
def test_a_word_that_lacks_its_plus_is_told_so(word: str, line: str, tmp_path: Path) -> None:
    result = start("experiment=emoji", word, f"run_dir={tmp_path / 'run'}")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_offers_ready_terms_and_no_base() -> None:
    text = start("--help").stdout
    assert f"extra: {', '.join(EXTRAS)}" in text
    assert "base" not in [line.partition(":")[0].rpartition("/")[2] for line in text.splitlines()]
    assert "base_gan" not in text


def start(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
