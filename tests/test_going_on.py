"""Going on with a run by its folder alone, wherever that lies now, and by whatever is whole in it."""

import copy
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from test_resume import WHOLE, assert_same_end, find_differences, stop_at
from test_train import load, make_overrides, run

from diptych.callbacks.csv_file import CsvFile
from diptych.errors import UserError
from diptych.methods import Method
from diptych.randomness import capture_random_state
from diptych.training.finite import are_finite, find_tensors
from diptych.training.resume import Resumption, choose_checkpoint
from diptych.training.trial import find_misfit

pytestmark = pytest.mark.reliability
RECIPE = [word for word in WHOLE if not word.startswith(("+method.augmentation", "method.pool_size"))]
RECIPE += ["method=gan", "method.schedule.decay_epochs=0", "~callbacks.samples"]


@pytest.fixture(scope="module")
def whole_and_stopped(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of five batches, and the same one stopped after three."""
    root = tmp_path_factory.mktemp("going-on")
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, *make_overrides(tiny_data, root / "whole"), *RECIPE)
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            stop_at(patched, 3, signal.SIGTERM)
            run(patched, *make_overrides(tiny_data, root / "stopped"), *RECIPE)
    assert load(root / "stopped")["diptych"]["iteration"] == 3
    return root / "whole", root / "stopped"


@pytest.fixture
def stopped(whole_and_stopped: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy elsewhere of the stopped run's folder."""
    return shutil.copytree(whole_and_stopped[1], tmp_path / "moved")


def test_the_folder_alone_says_what_is_gone_on_with(
    whole_and_stopped: tuple[Path, Path], stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped.parent)
    run(monkeypatch, "run_dir=moved", "resume=auto")
    assert_same_end(whole_and_stopped[0], stopped)
    assert (whole_and_stopped[0] / "metrics.csv").read_bytes() == (stopped / "metrics.csv").read_bytes()
    assert not (whole_and_stopped[1] / "finished").exists()


WHOLE_FILE = b"iteration,images_seen,generator/cycle_a\n1,1,0.5\n2,2,0.25\n3,3,0.125\n"
DAMAGED = {
    "torn": (WHOLE_FILE[:-3], b"".join(WHOLE_FILE.splitlines(True)[:3]), "a damaged line is left out"),
    "zeros": (WHOLE_FILE + bytes(512), WHOLE_FILE, "a damaged line is left out"),
    "zeros within": (WHOLE_FILE.replace(b"2,2,0.25\n", bytes(9)), b"iteration,images_seen,generator/cycle_a\n1,1,0.5\n",
                     "a damaged line is left out"),
    "not UTF-8": (WHOLE_FILE.replace(b"0.25", b"\xff\xfe"), WHOLE_FILE.replace(b"2,2,0.25\n", b""), "a damaged line"),
    "no number": (WHOLE_FILE.replace(b"2,2,0.25", b"2,2,0.2x5"), WHOLE_FILE.replace(b"2,2,0.25\n", b""), "a damaged"),
    "empty": (b"", b"iteration,images_seen\n", "a damaged line"),
    "header cut": (b"iteration,ima", b"iteration,images_seen\n", "a damaged line"),
    "header in two": (WHOLE_FILE.replace(b"_seen", b"_\nseen"), b"iteration,images_\n", "4 damaged lines are left out"),
    "all zeros": (bytes(2048), b"iteration,images_seen\n", "a damaged line"),
    "all noise": (bytes(range(256)) * 9, b"iteration,images_seen\n", "damaged lines are left out"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_whole_of_a_damaged_csv_file_stays(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, told = DAMAGED[damage]
    path = tmp_path / "metrics.csv"
    path.write_bytes(before)
    file = CsvFile(path)
    file.trim(3)
    assert path.read_bytes() == after
    assert (tmp_path / "metrics.damaged.csv").read_bytes() == before
    assert (said := capsys.readouterr().out).count("\n") == 1
    assert told in said
    file.append({"iteration": "4", "images_seen": "4", "generator/cycle_a": "1"})
    assert path.read_bytes().endswith(b",1\n")


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_kept_rows_stay_byte_for_byte(ends: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content := WHOLE_FILE.replace(b"\n", ends))
    CsvFile(path).trim(3)
    assert path.read_bytes() == content
    CsvFile(path).trim(2)
    assert path.read_bytes() == content[: content.index(b"3,3")]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("folder", ["data/monet", "data"])
def test_only_paths_in_the_run_folder_move_with_it(folder: str, tmp_path: Path) -> None:
    """Data beside it, whose path begins like the run folder's, do not; where they lie is no difference either way."""
    recipe = {"run_dir": f"{tmp_path}/run", "log": f"{tmp_path}/run/x.csv", "beside": f"{tmp_path}/run-{folder}"}
    before = Resumption(tmp_path / "last.ckpt", {"diptych": {"format": 2, "recipe": recipe}})
    moved = recipe | {"run_dir": "/elsewhere", "log": "/elsewhere/x.csv"}
    assert before.check_changes(moved, allowed=False) == []
    with pytest.raises(UserError, match="beside: "):
        before.check_changes(moved | {"beside": "/elsewhere/x"}, allowed=False)


@pytest.mark.parametrize("state", [b"\xff\xfe\0", b"", bytes(64), b"seven"])
def test_a_damaged_mark_of_the_end_is_none(state: bytes, tmp_path: Path) -> None:
    (tmp_path / "finished").write_bytes(state)
    resumption = Resumption(tmp_path / "last.ckpt", {"diptych": {"iteration": 5}})
    assert not resumption.is_finished(tmp_path)
    (tmp_path / "finished").write_text("5\n")
    assert resumption.is_finished(tmp_path)


def spoil(content: dict[str, Any], way: str) -> None:
    weights = content["state_dict"]
    name = next(iter(weights))
    match way:
        case "a weight less":
            del weights[name]
        case "another shape":
            weights[name] = weights[name][:1]
        case "no tensor":
            weights[name] = "weight"
        case "infinite":
            weights[name].fill_(float("inf"))
        case "infinite moments":
            content["optimizer_states"][0]["state"][0]["exp_avg"].fill_(float("nan"))
        case "no average":
            del content["callbacks"]["EMA"]["averaged"]["ab"][name.removeprefix("generator_ab.")]
        case "no callbacks":
            del content["callbacks"]
        case "no processes":
            del content["diptych"]["processes"][0]["extra_state"]


def put(*place: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets a value of a checkpoint."""

    def change(content: Any) -> None:
        *parents, last = place
        for key in parents:
            content = content[key]
        content[last] = value

    return change


PROCESS, LOOP, OPTIMIZER = ("diptych", "processes", 0), ("loops", "fit_loop"), ("optimizer_states", 0)
GROUP, MOMENTS = (*OPTIMIZER, "param_groups", 0), (*OPTIMIZER, "state", 0)
MISFITS = {
    "torch's random state": put(*PROCESS, "random", "torch", value=torch.zeros(3, dtype=torch.uint8)),
    "Python's words": put(*PROCESS, "random", "python", "words", value=torch.zeros(3)),
    "NumPy's keys": put(*PROCESS, "random", "numpy", "keys", value=torch.zeros(3)),
    "NumPy's name": put(*PROCESS, "random", "numpy", "name", value="x"),
    "NumPy's position": put(*PROCESS, "random", "numpy", "position", value=10**6),
    "Lightning's version": put("pytorch-lightning_version", value="x"),
    "Lightning before its first": put("pytorch-lightning_version", value="0.9.0"),
    "no loops": put("loops", value={}),
    "no counts": put(*LOOP, value={}),
    "no current count": put(*LOOP, "epoch_progress", value={"total": {}}),
    "a word for a count": put(*LOOP, "epoch_loop.batch_progress", "current", "ready", value="x"),
    "a word for a count of steps": put(*LOOP, "epoch_loop.manual_optimization.optim_step_progress", value={"x": 1}),
    "a loader's state": put(*LOOP, "state_dict", value={"combined_loader": [{}]}),
    "schedulers": put("lr_schedulers", value=[{"a": 1}] * 2),
    "no optimizers": put("optimizer_states", value=[]),
    "no groups": put(*OPTIMIZER, "param_groups", value=[]),
    "a word for a rate": put(*GROUP, "initial_lr", value="x"),
    "no rate": lambda content: content["optimizer_states"][0]["param_groups"][0].pop("initial_lr"),
    "no betas": lambda content: content["optimizer_states"][0]["param_groups"][0].pop("betas"),
    "no steps": lambda content: content["optimizer_states"][0]["state"][0].pop("step"),
    "misshapen moments": put(*MOMENTS, "exp_avg", value=torch.zeros(3)),
    "negative moments": put(*MOMENTS, "exp_avg_sq", value=torch.full((4, 3, 7, 7), -1.0)),
    "a word for moments": put(*MOMENTS, "exp_avg", value="x"),
    "no moments at all": put(*OPTIMIZER, "state", value={}),
    "no images of a pool": lambda content: content["diptych"]["processes"][0]["extra_state"]["pool_b"].pop("images"),
    "no images in a pool": put(*PROCESS, "extra_state", "pool_b", "images", value=[torch.zeros(3)]),
    "a pool's random state": put(*PROCESS, "extra_state", "pool_b", "random", value=torch.zeros(3)),
    "no image seen": put("diptych", "images_seen", value=-1),
    "endless images seen": put("diptych", "images_seen", value=10**30),
    "endless epochs": put("epoch", value=10**30),
}


@pytest.fixture(scope="module")
def untrained(whole_and_stopped: tuple[Path, Path]) -> tuple[Method, Trainer]:
    """The method and the trainer with which the stopped run is about to be gone on with."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        begun: list[tuple[Method, Trainer]] = []
        monkeypatch.setattr(Trainer, "fit", lambda trainer, method, *_, **__: begun.append((method, trainer)))
        run(monkeypatch, f"run_dir={whole_and_stopped[1]}", "resume=auto")
    return begun[0]


@pytest.mark.parametrize("misfit", MISFITS)
def test_whatever_a_checkpoint_holds_it_is_taken_up_or_skipped(
    misfit: str, stopped: Path, untrained: tuple[Method, Trainer]
) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    assert choose_checkpoint(stopped, "auto").find_fitting(*untrained).path == last
    MISFITS[misfit](content := torch.load(last, weights_only=True))
    torch.save(content, last)
    resumption = choose_checkpoint(stopped, "auto").find_fitting(*untrained)
    assert resumption.path == last.with_name("previous.ckpt")
    assert re.fullmatch(rf"skipped {last}: (its|it) [^\n]+", resumption.remarks[0])


def test_trying_a_checkpoint_moves_nothing(stopped: Path, untrained: tuple[Method, Trainer]) -> None:
    """States are put into copies, and steps taken on them: neither the method nor the checkpoint may notice."""
    content = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    before = copy.deepcopy((content, untrained[0].state_dict())), capture_random_state()
    assert find_misfit(content, *untrained) is None
    assert find_differences([*before], [(content, untrained[0].state_dict()), capture_random_state()]) == []


def test_infinite_weights_are_not_saved(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Gradients may be finite and the update overflow all the same: the good checkpoint stays, and is named."""
    original = Method.training_step

    def step(self: Method, batch: dict[str, torch.Tensor], index: int) -> None:
        if self.iteration == 3:
            for optimizer in self.optimizers():
                optimizer.param_groups[0]["initial_lr"] = 1e39
        original(self, batch, index)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as stop:
        patched.setattr(Method, "training_step", step)
        run(patched, *make_overrides(tiny_data, tmp_path / "run"), *RECIPE, "callbacks.checkpoint.every=1")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert stop.value.code == 3
    assert (
        f"error: weights are not finite after iteration 4; the last good checkpoint is {last}" in capfd.readouterr().err
    )
    assert load(tmp_path / "run")["diptych"]["iteration"] == 3
    assert are_finite(find_tensors(load(tmp_path / "run")))


REFUSED = {
    "no folder": (["run_dir=nowhere", "resume=auto"], 5, r"nowhere/config\.yaml: no such file, .* choose an exp"),
    "no file": (["run_dir=moved", "resume=auto"], 5, r"moved/config\.yaml: no such file"),
    "damaged": (["run_dir=moved", "resume=auto"], 5, r"moved/config\.yaml: damaged \(.*name the run's recipe"),
    "zeros": (["run_dir=moved", "resume=auto"], 5, r"moved/config\.yaml: (damaged|not the recipe)"),
    "no recipe": (["run_dir=moved", "resume=auto"], 5, r"moved/config\.yaml: not the recipe of a run"),
    "hydra": (["run_dir=moved", "resume=auto"], 5, r"moved/config\.yaml: hydra has no place in the recipe of a run"),
    "change": (["run_dir=moved", "resume=auto", "data.batch_size=2"], 2, r"data\.batch_size: 1 → 2"),
    "typo": (["run_dir=moved", "resume=auto", "generator.widht=2"], 2, r"no key generator\.widht"),
    "other group": (["run_dir=moved", "resume=auto", "method=cut"], 2, r"set data\.root"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_gone_on_with_is_one_line(
    case: str, stopped: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides, code, message = REFUSED[case]
    overrides = [*overrides, *(["experiment=custom"] if case == "other group" else [])]
    recipe = stopped / "config.yaml"
    text = recipe.read_text()
    match case:
        case "no file":
            recipe.unlink()
        case "damaged":
            recipe.write_text(text[:200] + "\n  }: [")
        case "zeros":
            recipe.write_bytes(bytes(200))
        case "no recipe":
            recipe.write_text("- 1\n- 2\n")
        case "hydra":
            recipe.write_text(f"{text}hydra: {{callbacks: {{x: {{_target_: os.system}}}}}}\n")
    monkeypatch.chdir(stopped.parent)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *overrides)
    assert stop.value.code == code
    assert re.search(rf"^error: [^\n]*{message}[^\n]*\n\Z", capfd.readouterr().err, re.MULTILINE)
    assert not (stopped.parent / "nowhere").exists()


def test_more_and_harmless_changes_go_on(
    whole_and_stopped: tuple[Path, Path], stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added on the first command line may stand on the second as well."""
    hue = "+data.augment.hue=0.3"
    run(monkeypatch, f"run_dir={stopped}", "resume=auto", hue, "data.workers=0", "callbacks.checkpoint.every=1")
    assert_same_end(whole_and_stopped[0], stopped)
