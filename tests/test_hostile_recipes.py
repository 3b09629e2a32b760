"""Recipes that would execute something: however they say it, they are refused before anything is built or written."""

import re
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
import yaml
from test_train import make_overrides, run, run_apart, train

from diptych.errors import FileError, UserError
from diptych.training.classes import NAMED, ROOMS, find_class
from diptych.training.composition import SETTINGS, refuse_hydra_settings
from diptych.training.overrides import name_job
from diptych.training.recipe import read_recipe

pytestmark = pytest.mark.reliability
CALL = {"_target_": "os.system", "command": "touch CANARY"}
RESOLVED = "${oc.create:{_target_:sympy.sympify,a:CODE}}"
FACTORY = {"handlers": {"x": {"()": "torch.hub.load", "repo_or_dir": "CANARY", "model": "x", "source": "local"}}}
LOG = {"handlers": {"file": {"class": "logging.FileHandler", "filename": "CANARY"}}, "root": {"handlers": ["file"]}}
LAUGHS: list = ["ha"]  # PyYAML writes what comes again as an alias
for _ in range(6):
    LAUGHS = [LAUGHS] * 10


def refer(number: int) -> str:
    return f"${{x{number}}}"


HOSTILE = {  # what a recipe's file may hold, and the key that the line names
    "a resolver makes the target": ({"method": {"penalty": RESOLVED}}, "method.penalty._target_ = 'sympy"),
    "a resolver makes a part of the target": (
        {"method": {"penalty": {"_target_": "${oc.decode:os.sys}tem", "command": "x"}}},
        "method.penalty._target_ = 'os.system'",
    ),
    "a key of another part is the target": (
        {"name": "os.system", "method": {"penalty": {"_target_": "${name}"}}},
        "pe",
    ),
    "Hydra's callbacks": ({"hydra": {"callbacks": {"x": CALL}}}, "hydra.callbacks"),
    "Hydra's callbacks, made": (
        {"hydra": {"callbacks": {"x": "${oc.create:{_target_:os.system}}"}}},
        "hydra.callbacks",
    ),
    "a job's log handler": ({"hydra": {"job_logging": FACTORY}}, "hydra.job_logging.handlers.x.()"),
    "Hydra's log handler": ({"hydra": {"hydra_logging": FACTORY}}, "hydra.hydra_logging.handlers.x.()"),
    "a handler's class": (
        {"hydra": {"job_logging": {"handlers": {"x": {"class": "subprocess.Popen", "args": ["touch", "CANARY"]}}}}},
        "hydra.job_logging.handlers.x.",
    ),
    "a handler's stream": (
        {"hydra": {"job_logging": {"handlers": {"x": {"class": "logging.StreamHandler", "stream": "ext://os.x"}}}}},
        "hydra.job_logging.handlers.x.",
    ),
    "all handlers, made": (
        {"hydra": {"job_logging": {"handlers": "${oc.create:{x:{class:subprocess.Popen}}}"}}},
        "hydra.job_logging.handlers",
    ),
    "a log elsewhere": ({"hydra": {"job_logging": LOG}}, "hydra.job_logging."),
    "a log of Hydra's elsewhere": ({"hydra": {"hydra_logging": LOG}}, "hydra.hydra_logging."),
    "no log": (
        {"hydra": {"job_logging": {"handlers": {"console": {"class": "logging.NullHandler"}}}}},
        "hydra.job_logging.handlers.console.class",
    ),
    "files elsewhere": ({"hydra": {"output_subdir": "CANARY"}}, "hydra.output_subdir"),
    "a folder elsewhere": ({"hydra": {"run": {"dir": "CANARY"}, "sweep": {"dir": "CANARY"}}}, "hydra.run.dir"),
    "another folder": ({"hydra": {"job": {"chdir": True}}}, "hydra.job.chdir"),
    "a resolver that wrote": ({"compile": "${name_wandb_run:CANARY}"}, "compile = 'auto'"),
    "aliases": ({"method": {"x": LAUGHS}}, "repeat each other too often"),
    "doubled text": ({f"x{n}": refer(n + 1) * 2 for n in range(40)} | {"x40": "x" * 9}, "without bound"),
    "doubled nothing": ({f"x{n}": refer(n + 1) * 2 for n in range(40)} | {"x40": ""}, "without bound"),
    "doubled lists": ({f"x{n}": [refer(n + 1)] * 9 for n in range(9)} | {"x9": [1] * 9}, "without bound"),
    "a chain": ({f"x{n}": refer(n + 1) for n in range(900)} | {"x900": 1}, "without bound"),
    "a formatter": ({"hydra": {"job_logging": {"formatters": {"x": {"()": "os.system"}}}}}, "formatters.x.()"),
    "a filter's property": ({"hydra": {"job_logging": {"filters": {"x": {".": {"a": 1}}}}}}, "filters.x.."),
    "a launcher": ({"hydra": {"launcher": CALL}}, "hydra.launcher"),
    "a launcher's argument": ({"hydra": {"sweeper": {"params": {"x": CALL}}}}, "hydra.sweeper.params.x"),
    "a sweeper's argument, made": (
        {"hydra": {"sweeper": {"max_batch_size": RESOLVED}}},
        "hydra.sweeper.max_batch_size",
    ),
    "the environment": ({"hydra": {"job": {"env_set": {"CXX": "touch CANARY"}}}}, "hydra.job.env_set"),
    "a copy of the environment": ({"hydra": {"job": {"env_copy": ["HOME"]}}}, "hydra.job.env_"),
    "a function of ours": ({"method": {"penalty": {"_target_": "diptych.networks.build", "network": "x"}}}, "penalty"),
    "a function of torch": ({"data": {"augment": {"_target_": "torch.hub.load", "repo_or_dir": "x"}}}, "augment"),
    "a class beside the list": ({"data": {"augment": {"_target_": "torch.nn.Sequential"}}}, "data.augment._target_"),
    "a class imported by a module of ours": (
        {"method": {"penalty": {"_target_": "diptych.losses.images.Tensor"}}},
        "method.penalty._target_",
    ),
    "no name": ({"method": {"penalty": {"_target_": ["os.system"]}}}, "method.penalty._target_"),
    "positional arguments": (
        {"method": {"penalty": {"_target_": "diptych.losses.Lazy", "_args_": [CALL]}}},
        "method.penalty._args_",
    ),
    "Hydra's words": (
        {"method": {"penalty": {"_target_": "diptych.losses.R1", "_recursive_": False}}},
        "method.penalty._recursive_",
    ),
    "part of a part": (
        {"method": {"penalty": {"_target_": "diptych.losses.Lazy", "penalty": CALL}}},
        "method.penalty.penalty._target_",
    ),
    "part of a list": ({"trainer": {"plugins": [CALL]}}, "trainer.plugins[0]._target_"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("way", ["run", "multirun"])
def test_a_hostile_file_runs_nothing(
    what: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    content, said = HOSTILE[what]
    text = yaml.safe_dump({"name": "evil"} | content).replace("CANARY", str(tmp_path / "CANARY"))
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(f"# @package _global_\n{text}")
    words = ["experiment=evil", f"run_dir={tmp_path / 'run'}", f"--config-dir={tmp_path / 'conf'}"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *(["-m", "seed=1,2"] if way == "multirun" else []), *words)
        raise SystemExit(train.sweep.finish())
    assert stop.value.code == UserError.exit_code
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("error: ") and said in line for line in lines)
    assert not (tmp_path / "CANARY").exists()
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert way == "multirun" or not (tmp_path / "run").exists()


BROKEN = {
    "no YAML": ("a: [", "cannot be composed"),
    "no mapping": ("- a", "Cannot merge DictConfig with ListConfig"),
    "a name twice": ("seed: 1\nseed: 2", "seed"),
    "a variable that is not there": ("hydra: {job: {env_copy: [NOT_THERE_AT_ALL]}}", "NOT_THERE_AT_ALL"),
    "another variable": ("data: {root: '${oc.env:NOT_THERE_AT_ALL}'}", "NOT_THERE_AT_ALL"),
    "a circle": ("data: {root: '${data.path_a}', path_a: '${data.root}'}", "data.root"),
    "an unknown resolver": ("seed: '${nonsense:3}'", "nonsense"),
    "a key that is not there": ("seed: '${nonsense}'", "nonsense"),
    "a misspelt key at the top": ("accumlate: 4", "there is no key accumlate in a recipe (did you mean 'accumulate'?)"),
    "a misspelt key below": ("data: {bach_size: 4}", "data.bach_size: UnpairedData takes no bach_size (did you mean"),
    "a number for a part": ("data: 3", "data = 3: must be"),
    "a list for a part": ("method: [1]", "Cannot merge DictConfig with ListConfig"),
    "a key that is a number": ("data: {3: 4}", "data.3: UnpairedData takes no 3"),
    "nothing": ("", "data"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_a_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text, said = BROKEN[what]
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text(f"# @package _global_\n{text}\n")
    words = ["experiment=broken", f"run_dir={tmp_path / 'run'}", "name=x", "--config-dir", str(tmp_path / "conf")]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *words)
    assert stop.value.code in (UserError.exit_code, 4)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "run").exists()


COMMANDS = [
    ["method.penalty={_target_:os.system,command:x}"],
    ["method.penalty='${oc.create:{_target_:sympy.sympify,a:x}}'"],
    ["+hydra.callbacks.x={_target_:os.system,command:x}"],
    ["hydra.callbacks={x:{_target_:os.system,command:x}}"],
    ["hydra.job_logging.handlers.console.class=subprocess.Popen"],
    ["+hydra.job.env_set.CXX=x"],
    ["-m", "seed=1,2", "hydra.launcher._target_=os.system"],
    ["hydra.searchpath=[pkg://antigravity]"],
    ["--config-name", "experiment/custom"],
    ["--config-path", "/tmp"],
    ["--config-path", "pkg://antigravity"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_hostile_command_line_runs_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *words, f"run_dir={tmp_path / 'run'}")
    assert stop.value.code in (UserError.exit_code, FileError.exit_code)
    told = capfd.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told
    assert not (tmp_path / "run").exists()


def test_what_is_resolved_is_not_resolved_again() -> None:
    """An interpolation that comes out of one is text, and no target is made of it later."""
    plain = {"name": "x", "method": {"_target_": "diptych.losses.R1"}, "seed": "${oc.env:HOME}"}
    with pytest.raises(UserError, match=r"domains is not set"):
        read_recipe(plain)
    with pytest.raises(UserError, match=r"^method\._target_ = '\$\{name\}': is not allowed"):
        find_class("method", "${name}")


def test_all_that_is_listed_is_there_and_a_class() -> None:
    for module, names in NAMED.items():
        for name in names.split():
            assert isinstance(find_class("x", f"{module}.{name}"), type)
    for room in ROOMS:
        with pytest.raises(UserError, match="is not allowed"):
            find_class("x", f"{room}.find_class")


def compose(*overrides: str) -> Any:
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        return hydra.compose("train", list(overrides), return_hydra_config=True)


def test_hydra_is_told_to_write_nothing() -> None:
    """The recipes' own settings pass, said again, and with what a sweep goes through and what Hydra only shows."""
    told = compose(*SETTINGS, "hydra.verbose=true", "hydra.help.header=x").hydra
    refuse_hydra_settings({"sweeper": {"params": {"seed": "1,2"}}}, {"sweeper": {"params": None}})
    assert told.run.dir == told.sweep.dir == told.sweep.subdir == "."
    assert told.output_subdir is None
    assert list(told.job_logging.handlers) == ["console"]
    for word in ("hydra.launcher=null", "hydra/job_logging=default", "hydra.run.dir=x"):
        with pytest.raises(UserError, match=r"^hydra\.\S+ is not allowed: "):
            compose(word)


@pytest.mark.parametrize(
    ("own", "others", "name"),
    [
        (["seed=1"], ["data.root='a,b'", "domains=[a,b]"], r"seed=1"),
        (["method.schedule.epochs=3", "seed=1"], [], r"epochs=3,seed=1"),
        (["+extra=[gram,colour]"], [], r"extra=-gram,colour--\w{6}"),
        (["data.root='/a/b/c'"], ["seed=1"], r"root=-a-b-c--\w{6}"),
        (["method.optimizer.generator.lr=1", "method.optimizer.discriminator.lr=2"], [], r"lr=1,lr=2-\w{6}"),
        (["data.root=" + "x" * 300], [], r"root=x{75}-\w{6}"),
    ],
)
def test_a_job_is_named_by_what_is_its_own(own: list[str], others: list[str], name: str) -> None:
    swept = [f"{word.partition('=')[0]}={word.partition('=')[2]},other" for word in own]
    assert re.fullmatch(name, name_job([*own, *others], ["-m", *swept, *others]))


def test_a_sweep_tells_of_each_job_and_goes_on_after_one_that_failed(tiny_data: Path, tmp_path: Path) -> None:
    words = make_overrides(tiny_data, tmp_path / "grid", "experiment=custom", "method.init=kaiming,nonsense,normal")
    result = run_apart("-m", *words)
    assert result.returncode == UserError.exit_code
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "method.init = 'nonsense'" in line
    assert {path.name for path in (tmp_path / "grid").glob("*=*")} == {"init=kaiming", "init=normal"}
    table = result.stdout[result.stdout.rindex("ended") :].splitlines()
    rows = [[word.strip() for word in row.strip("│").split("│")] for row in table if "init=" in row]
    assert [row[:2] for row in rows] == [
        ["init=kaiming", "well"],
        ["init=nonsense", "with exit code 2"],
        ["init=normal", "well"],
    ]
    assert torch.load(tmp_path / "grid" / "init=normal" / "checkpoints" / "last.ckpt", weights_only=True)
