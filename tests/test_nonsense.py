"""Nonsense for every key of the recipes: one line that names the key, or a value that means something."""

import copy
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from test_train import make_overrides, run, train

from diptych.errors import UserError
from diptych.training.job import Job
from diptych.training.recipe import read_recipe
from diptych.training.run import train as run_recipe

pytestmark = pytest.mark.reliability
NONSENSE: dict[str, Any] = {
    "null": None,
    "a word": "nonsense",
    "nothing": "",
    "true": True,
    "zero": 0,
    "negative": -1,
    "half": 0.5,
    "huge": 10**30,
    "large": 123_456_789,
    "1e39": 1e39,
    "nan": float("nan"),
    "infinite": float("inf"),
    "an empty list": [],
    "a list": [2, 2],
    "words": ["a", "b", "c"],
    "an empty mapping": {},
    "a mapping": {"x": 3},
    "a part": {"_target_": "torch.optim.Adam", "_partial_": True},
    "a control": "\x1b[2J\n",
}


RECIPES = {
    "experiment=flat2fluent": True,
    "experiment=custom": False,
    **dict.fromkeys(
        (f"experiment=emoji method={name}" for name in ("cut", "dclgan", "wct", "adain", "fusion", "johnson")), False
    ),
    "experiment=emoji method=gcgan +extra=[gram,low_resolution,ssim,total_variation]": False,
    "experiment=custom logger=tensorboard discriminator=mixed generator=unet trainer=ddp": False,
}
"""Recipes whose every key is tried, and whether always."""


def compose(*overrides: str) -> dict[str, Any]:
    """Return a composed recipe as plain data."""
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        plain = OmegaConf.to_container(hydra.compose("train", list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return plain


def list_places(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key, those that hold others included."""
    for key, value in node.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from list_places(value, (*path, key))


def put(recipe: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a copy with another value at a path."""
    changed = copy.deepcopy(recipe)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    "words", [name if always else pytest.param(name, marks=pytest.mark.exhaustive) for name, always in RECIPES.items()]
)
def test_nonsense_is_refused_in_a_line_that_names_its_key(words: str) -> None:
    """Whatever a key is given, there is no other error than a user's; whether what is taken can be built, see below."""
    recipe = compose(*words.split(), "name=x")
    read_recipe(recipe)
    refused = {}
    for path in list_places(recipe):
        for name, value in NONSENSE.items():
            try:
                read_recipe(put(recipe, path, copy.deepcopy(value)))
            except UserError as error:
                refused[".".join(path), name] = str(error)
    for (key, name), line in refused.items():
        assert key.rpartition(".")[2] in line, (key, name, line)
        assert line.isprintable(), (key, name, line)
    assert len(refused) > 0.85 * len(NONSENSE) * len(list(list_places(recipe)))
    for key in ("seed", "data.load_size", "method.optimizer", "method.schedule.epochs", "trainer.limit_train_batches"):
        assert {(key, "a word"), (key, "nan"), (key, "infinite"), (key, "negative")} <= refused.keys()


NAMED = [  # what a user tried, and the key that the line names
    ("data.load_size=abc", r"data\.load_size = 'abc': must be a whole number"),
    ("data.load_size=1e8", r"data\.load_size = 100000000\.0: must be a whole number"),
    ("data.load_size=100000000", r"data\.load_size = 100000000: must lie between 1 and 16384"),
    ("data.flip=maybe", r"data\.flip = 'maybe': must be true or false"),
    ("data.cache_gib=-1", r"data\.cache_gib = -1: must lie between 0"),
    ("method.optimizer.generator.lr=nan", r"method\.optimizer\.generator\.lr = nan: must be a number"),
    ("method.optimizer.generator.lr=-1", r"method\.optimizer\.generator\.lr = -1: must lie between 0"),
    ("method.optimizer.generator.betas=[2,2]", r"method\.optimizer\.generator\.betas\[0\] = 2: must lie between 0"),
    ("method.optimizer.generator.betas=[0.5]", r"method\.optimizer\.generator\.betas = \[0\.5\]: must be a list of 2"),
    ("seed=-1", r"seed = -1: must lie between 0"),
    ("callbacks.samples.count=0", r"callbacks\.samples\.count = 0: must lie between 1"),
    ("callbacks.checkpoint.every=-1", r"callbacks\.checkpoint\.every = -1: must lie between 0"),
    ("method.pool_size=-1", r"method\.pool_size = -1: must lie between 0"),
    ("method.schedule.epochs=1e9", r"method\.schedule\.epochs = 1000000000\.0: must be a whole number"),
    ("method.schedule.epochs=1000000000", r"method\.schedule\.epochs = 1000000000: must lie between 0 and 1000000"),
    ("callbacks=null", r"callbacks"),
    ("trainer=null", r"trainer"),
    ("trainer.limit_train_batches=0", r"trainer\.limit_train_batches = 0: must lie between 1"),
    ("trainer.devices=99", r"trainer\.devices = 99: there are \d+ (CPU cores|GPUs) here"),
    ("trainer.devices=-1", r"trainer\.devices = -1: must lie between 1"),
    ("trainer.accelerator=abacus", r"trainer\.accelerator = 'abacus': must be one of auto, cpu"),
    ("recompute=5", r"recompute = 5: must be true or false"),
    ("accumulate=4", r"accumulate = 4: a batch of data\.batch_size = 1 has fewer images"),
    ("+nonsense=1", r"there is no key nonsense in a recipe"),
    ("+data.bach_size=3", r"data\.bach_size: UnpairedData takes no bach_size \(did you mean 'batch_size'\?\)"),
    ("+method.penalty={_target_:torch.optim.SGD,lr:1}", r"method\.penalty\.params is not set: SGD needs it"),
    ("method.adversarial={_target_:diptych.losses.R1}", r"method\.adversarial = R1: must be .* of a Adversarial"),
    (
        "method.adversarial={_target_:diptych.losses.Hing}",
        r"not allowed in a recipe \(did you mean 'diptych\.losses\.Hinge'",
    ),
    ("generator.width=0", r"generator\.width = 0: must lie between 1 and 1024"),
    ("generator.norm=layer", r"generator\.norm = 'layer': must be one of instance, batch, none"),
    ("domains=[A]", r"domains = \['A'\]: must be a list of 2"),
    ("name=''", r"name = '': must be a name"),
    (
        "+extra=[gram,percptual]",
        r"there is no extra=percptual \(did you mean 'perceptual'\?\); there are colour, edges",
    ),
    ("method.weights.generator.cycel_a=5", r"did you mean method\.weights\.generator\.cycle_a\?"),
    (
        "method=cut method.weights.generator.contrastive_c=5",
        r"did you mean method\.weights\.generator\.contrastive_[ab]\?",
    ),
    ("method=cut method.projector.with=5", r"did you mean method\.projector\.width\?"),
    ("method=cut method.projector.width=wide", r"method\.projector\.width = 'wide': must be a whole number"),
    ("methd=cut", r"there is no key methd in the configuration; did you mean method\?"),
    ("method.penatly._target_=diptych.losses.R1", r"CycleGAN takes no penatly \(did you mean 'penalty'\?\)"),
]


@pytest.mark.parametrize(("words", "line"), NAMED, ids=lambda value: value[:40])
def test_what_users_tried_is_a_line(
    words: str,
    line: str,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *train.prepare([*make_overrides(tiny_data, folder, "experiment=custom"), *words.split()]))
    assert stop.value.code == UserError.exit_code
    (told,) = [text for text in capfd.readouterr().err.splitlines() if not text.startswith("warning")]
    assert told.startswith("error: ")
    assert re.search(line, told), told
    assert not folder.exists()


def list_taken(recipe: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the places and values that the check lets pass."""
    for path in list_places(recipe):
        for value in NONSENSE.values():
            with suppress(UserError):
                read_recipe(put(recipe, path, copy.deepcopy(value)))
                yield path, value


@pytest.mark.parametrize("share", [0, *(pytest.param(rest, marks=pytest.mark.exhaustive) for rest in range(1, 10))])
def test_what_is_taken_can_be_built(
    share: int, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Up to the first batch, or a user's mistake in a line, for a tenth of the values at a time."""
    words = [*make_overrides(tiny_data, tmp_path / "run"), "experiment=custom", "name=x"]
    recipe = compose(*words)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "fit", lambda self, method, data, **_: method.configure_optimizers())
    taken = list(list_taken(recipe))
    assert len(taken) > 150
    for number, (path, value) in enumerate(taken[share::10]):
        changed = put(recipe, path, copy.deepcopy(value))
        if path != ("run_dir",):
            changed["run_dir"] = str(tmp_path / str(number))
        with suppress(UserError):
            assert run_recipe(changed, changed, "", Job()) is None, (path, value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_norm_for_nobody_is_refused(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *make_overrides(tiny_data, tmp_path / "run", "experiment=custom", "+method.clip.nobody=1"))
    assert stop.value.code == UserError.exit_code
    assert "error: method.clip.nobody: the players are generator, discriminator" in capfd.readouterr().err


def test_a_part_that_is_null_is_configured_without_a_plus(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["experiment=custom", "method.penalty._target_=diptych.losses.Lazy", "logger=null"]
    words += ["+method.penalty.penalty={_target_:diptych.losses.R1}"]
    run(monkeypatch, *train.prepare(make_overrides(tiny_data, tmp_path / "run", *words)))
    assert "discriminator/penalty_b" in (tmp_path / "run" / "metrics.csv").read_text()


NO_FOLDER = {"file/run": 6, "file": 6, "x" * 300: 6, "/proc/run": 6, "": UserError.exit_code}


@pytest.mark.parametrize("place", NO_FOLDER)
@pytest.mark.parametrize("way", [[], ["-m", "seed=1,2"]], ids=["run", "multirun"])
def test_a_run_folder_that_cannot_be_made_is_one_line(
    place: str,
    way: list[str],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *way, *make_overrides(tiny_data, Path("PLACE"), "experiment=custom", f"run_dir={place}"))
        raise SystemExit(train.sweep.finish())
    assert stop.value.code == NO_FOLDER[place]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == max(1, 2 * len(way[1:]))
    assert all(line.startswith(f"error: {'run_dir' if place == '' else ''}") for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("way", [[], ["-m", "seed=1,2"]], ids=["run", "multirun"])
def test_a_run_that_is_stopped_while_it_imports_leaves_nothing(
    way: list[str], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = train.call_late

    def stop(module: str, name: str, *arguments: Any) -> Any:
        return call(module, name, *arguments) if module == "lock" else train.stop_at_once(2)

    monkeypatch.setattr(train, "call_late", stop)
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *way, *make_overrides(tiny_data, tmp_path / "runs" / "run"))
    assert stopped.value.code == 130
    assert not list(tmp_path.iterdir())


def test_options_may_stand_anywhere() -> None:
    def sort(words: str) -> str:
        return " ".join(train.prepare(words.split(), train.get_args_parser()))

    assert sort("a=1 -m seed=1,2") == "a=1 seed=1,2 -m"
    assert sort("experiment=x --config-dir=D seed=1 -cn N") == "experiment=x seed=1 --config-dir=D -cn N"
    assert sort("--cfg job run_dir=x -p data") == "run_dir='x' --cfg job -p data"
    for words in ("--nonsense seed=1", "seed=1 --config-dir", "--cfg nonsense", "--experimental-rerun x.pickle"):
        with pytest.raises(UserError):
            sort(words)
