"""The contract before real methods use it: a toy of each new kind, trained by `train.py`, kept, and translated with."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from test_train import check_run_folder, make_overrides, run

from diptych.cli import main
from diptych.errors import UserError
from diptych.translators import NetworkTranslator, Style, load_translator

KINDS = {"sampled": ("styled", "Sampled", []), "stepped": ("iterative", "Stepped", [])}
KINDS["scaled"] = ("styled", "Scaled", ["+method.weights.generator.middle=1"])
SIDE = 96  # pixels of a tile in the grid, at least


@pytest.fixture(scope="module", params=KINDS)
def trained(
    request: pytest.FixtureRequest, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A run of two batches, by the toy's name."""
    name = request.param
    _, method, more = KINDS[name]
    run_dir = tmp_path_factory.mktemp(name) / "run"
    network = f"method.generator={{network: {method}Network}}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        target = f"method._target_=diptych_toys.{name}.{method}"
        overrides = make_overrides(tiny_data, run_dir, "experiment=custom", "method=gan", target, network, *more)
        run(monkeypatch, *overrides)
    return name, run_dir


def load(trained: tuple[str, Path]) -> NetworkTranslator:
    return load_translator(trained[1] / "translators" / "ab.safetensors")


def translate(trained: tuple[str, Path], tiny_data: Path, out: Path, *options: str) -> bytes:
    """Translate an image with `diptych translate`; return the file's bytes."""
    image, file = tiny_data / "testA" / "0.png", trained[1] / "translators" / "ab.safetensors"
    assert main(["translate", str(image), "--translator", str(file), "--out", str(out), *options]) == 0
    return (out / "0.png").read_bytes()


def test_a_toy_is_trained_saved_and_loaded(trained: tuple[str, Path]) -> None:
    check_run_folder(trained[1])
    translator, content = load(trained), torch.rand(2, 3, 9, 14) * 2 - 1
    assert translator.kind == KINDS[trained[0]][0]
    result = translator(content)
    assert result.shape == content.shape
    assert result.abs().max() <= 1
    torch.testing.assert_close(translator(content), result)


def test_what_a_toy_takes_changes_the_result_and_the_rest_is_refused(
    trained: tuple[str, Path], tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"--seed": ("1", "2"), "--steps": ("1", "3"), "--style": ("0.2", "0.9")}
    takes = {"sampled": ["--seed"], "stepped": ["--seed", "--steps"], "scaled": ["--style"]}[trained[0]]
    for option, values in options.items():
        if option in takes:
            first, second = (translate(trained, tiny_data, tmp_path / value, option, value) for value in values)
            assert first != second
            assert first == translate(trained, tiny_data, tmp_path / "again", option, values[0])
            continue
        words = [str(tiny_data / "testA"), "--translator", str(trained[1] / "translators" / "ab.safetensors")]
        capsys.readouterr()
        assert main(["translate", *words, "--out", str(tmp_path / "no"), option, values[0]]) == UserError.exit_code
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"takes no {option.removeprefix('--')}" in said
        assert not (tmp_path / "no").exists()


def test_the_grid_shows_what_a_toy_can_do(trained: tuple[str, Path]) -> None:
    """Input, then a column a sample, a place or a number of steps, the truth last."""
    columns = {"sampled": 1 + 3 + 1, "stepped": 1 + 2 + 2 + 1, "scaled": 1 + 3 + 1}[trained[0]]
    grid = Image.open(trained[1] / "samples" / "final.png")
    assert grid.width == columns * (SIDE + 2) + 2
    lefts = [2 + number * (SIDE + 2) for number in range(columns)]
    tiles = {grid.crop((left, 18, left + SIDE, 18 + SIDE)).tobytes() for left in lefts}
    assert len(tiles) == columns - (trained[0] == "scaled")  # whose 0 is the input itself
    assert load(trained).takes_seed == (trained[0] != "scaled")


def test_a_scale_ends_at_the_image_and_mixes(trained: tuple[str, Path]) -> None:
    if trained[0] != "scaled":
        pytest.skip("has no scale")
    translator, content = load(trained), torch.rand(1, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(translator(content, 0.0), content)
    between = translator(content, [Style(number=0.0), Style(number=1.0, weight=3.0)])
    torch.testing.assert_close(between, translator(content, 0.75))
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    half = translator(content, Style(number=1.0, mask=mask))
    torch.testing.assert_close(half[..., :4], content[..., :4])
    torch.testing.assert_close(half[..., 5:], translator(content, 1.0)[..., 5:])


def test_steps_can_be_watched(trained: tuple[str, Path]) -> None:
    if trained[0] != "stepped":
        pytest.skip("takes no steps")
    translator, content = load(trained), torch.rand(1, 3, 8, 8) * 2 - 1
    seen = list(translator.iterate(content, seed=3))
    assert [(progress.step, progress.steps) for progress in seen] == [(1, 3), (2, 3), (3, 3)]
    torch.testing.assert_close(seen[-1].image, translator(content, seed=3))
    assert len(list(translator.iterate(content, steps=5))) == 5
    with pytest.raises(UserError, match="takes no style"):
        translator(content, 0.5)
