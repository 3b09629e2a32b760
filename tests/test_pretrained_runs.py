"""Runs that start from a file's weights, through the real entry point; and a resumed one, which needs no file."""

import signal
from pathlib import Path

import pytest
import torch
from test_resume import stop_at
from test_train import load, make_overrides, run

from diptych.errors import FileError, UserError
from diptych.training.overrides import prepare
from diptych.translators import load_translator

QUIET = ["~callbacks.samples", "generator.blocks=1"]
STILL = ["method.optimizer.generator.lr=0", "method.optimizer.discriminator.lr=0"]  # what is begun with is the end


@pytest.fixture(scope="module")
def trained(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CycleGAN's run of two batches."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, run_dir, *QUIET))
    return run_dir


def test_a_run_starts_from_a_checkpoint(
    trained: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = trained / "checkpoints" / "last.ckpt"
    starts = [f"generator.pretrained={file}", f"discriminator.pretrained={{b: {file}}}"]
    run(monkeypatch, "experiment=custom", *make_overrides(tiny_data, tmp_path / "run", *QUIET, *STILL, *starts))
    before, after = load(trained), load(tmp_path / "run")
    for direction, tensors in before["callbacks"]["EMA"]["averaged"].items():
        for name, tensor in tensors.items():
            torch.testing.assert_close(after["state_dict"][f"generator_{direction}.{name}"], tensor)
    judge = [name for name in before["state_dict"] if name.startswith("discriminator_")]
    same = {name: torch.equal(before["state_dict"][name], after["state_dict"][name]) for name in judge}
    assert all(same[name] for name in judge if name.startswith("discriminator_b."))
    assert not all(same[name] for name in judge if name.startswith("discriminator_a."))
    assert not [name for name in load_translator(file).network.arguments if "pretrained" in name]


def test_a_resumed_run_needs_no_file(
    trained: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where it is gone nor where another one is named; the end is that of a run in one go."""
    bundle = tmp_path / "a, b=c" / "ab.safetensors"
    bundle.parent.mkdir()
    bundle.write_bytes((trained / "translators" / "ab.safetensors").read_bytes())
    more = [*QUIET, f"generator.pretrained={bundle}"]
    whole, parts = (["experiment=custom", *make_overrides(tiny_data, tmp_path / n, *more)] for n in ("whole", "parts"))
    run_quoted(monkeypatch, *whole)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        stop_at(patched, 1, signal.SIGTERM)
        run_quoted(patched, *parts)
    bundle.unlink()
    run_quoted(monkeypatch, *parts[:-1], "generator.pretrained=nowhere.ckpt", "resume=auto")
    first, second = load(tmp_path / "whole"), load(tmp_path / "parts")
    assert first["diptych"]["iteration"] == second["diptych"]["iteration"] == 2
    for name, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][name]), name


def run_quoted(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Call the entry point with paths quoted, as `train.py` does before Hydra sees them."""
    run(monkeypatch, *prepare(list(overrides)))


def test_a_missing_file_stops_a_new_run_in_a_line(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        overrides = make_overrides(tiny_data, tmp_path / "run", "generator.pretrained=nowhere.ckpt")
        run(monkeypatch, "experiment=custom", *overrides)
    assert stop.value.code == FileError.exit_code
    assert capfd.readouterr().err.strip().splitlines()[-1] == "error: nowhere.ckpt: no such file"


ADAIN = ["method=adain", "method.encoder.weights=random", "method.encoder.kind=small"]


def test_a_decoder_starts_from_a_bundle_with_its_encoder(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The method's recipe has no generator; the file's random VGG is another than the recipe's."""
    more = ["experiment=custom", *ADAIN, "~callbacks.samples", "method.optimizer.generator.lr=0"]
    run(monkeypatch, *make_overrides(tiny_data, tmp_path / "one", *more))
    file = tmp_path / "one" / "checkpoints" / "last.ckpt"
    begun = load(tmp_path / "one")["state_dict"]
    starts = [*more, f"generator.pretrained={file}", "seed=1"]
    run(monkeypatch, *make_overrides(tiny_data, tmp_path / "two", *starts))
    ended = load(tmp_path / "two")["state_dict"]
    names = [n for n in begun if n.startswith("generator_ab.") and "mean_code" not in n]
    assert any(".encoder." in name for name in names)
    for name in names:
        assert torch.equal(begun[name], ended[name]), name


def test_a_method_without_discriminators_says_so(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        overrides = make_overrides(tiny_data, tmp_path / "run", *ADAIN, "discriminator.pretrained=x.pth")
        run(monkeypatch, "experiment=custom", *overrides)
    assert stop.value.code == UserError.exit_code
    assert "discriminator.pretrained: this method has no discriminator" in capfd.readouterr().err
