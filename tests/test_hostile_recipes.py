"""Recipes that would execute something: however they say it, they are refused before anything is built or written."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from test_train import load, make_overrides, run, run_apart, train

from diptych.errors import FileError, UserError
from diptych.training.classes import NAMED, ROOMS, find_class
from diptych.training.composition import hide_environment, refuse_hydra_settings
from diptych.training.overrides import name_job
from diptych.training.recipe import read_recipe

pytestmark = pytest.mark.reliability
CALL = {"_target_": "os.system", "command": "touch CANARY"}
RESOLVED = "${oc.create:{_target_:sympy.sympify,a:CODE}}"
FACTORY = {"handlers": {"x": {"()": "torch.hub.load", "repo_or_dir": "CANARY", "model": "x", "source": "local"}}}
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
        "hydra.job_logging.handlers.x.class",
    ),
    "a handler's stream": (
        {"hydra": {"job_logging": {"handlers": {"x": {"class": "logging.StreamHandler", "stream": "ext://os.x"}}}}},
        "hydra.job_logging.handlers.x.stream",
    ),
    "all handlers, made": (
        {"hydra": {"job_logging": {"handlers": "${oc.create:{x:{class:subprocess.Popen}}}"}}},
        "hydra.job_logging.handlers",
    ),
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


def test_hydras_own_settings_are_harmless() -> None:
    """What Hydra ships passes, each of its ways to log included, and a class or two more."""
    handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "simple"}
    launcher = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
    sweeper = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": {"seed": "1,2"}}
    settings = {"callbacks": {}, "job": {"env_set": {}, "env_copy": []}, "launcher": launcher, "sweeper": sweeper}
    refuse_hydra_settings(settings | {"hydra_logging": None, "job_logging": {"handlers": {"x": handler}}})
    with pytest.raises(UserError, match=r"hydra\.launcher = None"):
        refuse_hydra_settings(settings | {"launcher": None, "hydra_logging": None, "job_logging": None})


def test_a_secret_gets_into_no_file(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither itself nor by way of another key; and the run goes on with another one."""
    monkeypatch.setenv("DIPTYCH_TEST_SECRET", f"{tiny_data}")
    monkeypatch.setenv("DIPTYCH_TEST_TOKEN", "s3cr3t-t0ken")
    overrides = [word for word in make_overrides(tiny_data, tmp_path / "run") if not word.startswith("data.root")]
    overrides += ["data.root=${oc.env:DIPTYCH_TEST_SECRET}", "experiment=custom", "callbacks.checkpoint.every=1"]
    overrides += ["+logger.csv={_target_:pytorch_lightning.loggers.CSVLogger,save_dir:'${run_dir}'}"]
    overrides += ["logger.csv.save_dir=${run_dir}", "+logger.csv.name=${logger.csv.prefix}"]
    overrides += ["+logger.csv.prefix=${oc.env:DIPTYCH_TEST_TOKEN}"]
    run(monkeypatch, *overrides)
    held = load(tmp_path / "run")["diptych"]["recipe"]
    assert held["data"]["root"] == "${oc.env:DIPTYCH_TEST_SECRET}"
    assert held["logger"]["csv"]["name"] == "${logger.csv.prefix}"
    recorded = ("config.yaml", "checkpoints/last.ckpt", "translators/ab.safetensors")
    for name in recorded:
        content = (tmp_path / "run" / name).read_bytes()
        assert b"s3cr3t" not in content, name
        assert str(tiny_data).encode() not in content, name
    (tmp_path / "run" / "finished").unlink()
    monkeypatch.setenv("DIPTYCH_TEST_TOKEN", "another")
    run(monkeypatch, *overrides, "resume=auto")
    with pytest.raises(SystemExit):
        run(monkeypatch, *overrides, "resume=auto", "data.batch_size=2")


def test_what_follows_from_the_environment_is_kept_as_written() -> None:
    raw = {"a": "${oc.env:X}", "b": {"c": "${a}/d", "e": "${.c}", "f": "${name}", "g": 3}, "h": "${b}", "name": "n"}
    resolved = {"a": "x", "b": {"c": "x/d", "e": "x/d", "f": "n", "g": 3}, "h": {"c": "x/d"}, "name": "n"}
    assert hide_environment(raw, resolved) == raw | {"b": raw["b"] | {"f": "n"}}
    made = {"a": "${oc.${b}:X}", "b": "env"}
    assert hide_environment(made, {"a": "x", "b": "env"}) == made


@pytest.mark.parametrize(
    "word", ["name=${oc.env:X}", "domains=['${oc.env:X}',B]", "callbacks.finish.experiment=${oc.env:X}"]
)
def test_what_translators_hold_is_not_taken_from_the_environment(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("X", "s3cr3t")
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, f"run_dir={tmp_path / 'run'}", word)
    assert stop.value.code == UserError.exit_code
    told = capfd.readouterr().err
    assert "is written into translators" in told
    assert "s3cr3t" not in told


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
