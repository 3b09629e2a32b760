"""A run, from a composed recipe to its end: data, method, what is gone on from, and the training."""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from diptych.data import UnpairedData
from diptych.errors import MachineError, NumericError, UserError, name_reason
from diptych.files import write_text
from diptych.methods import Method
from diptych.methods.pretrained import keep_pretrained
from diptych.terminal import say
from diptych.training.allocation import keep_freed_memory
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import clear_leftovers
from diptych.training.explain import find_mistake
from diptych.training.job import Job
from diptych.training.lock import OF_THE_LOCK, lock_run
from diptych.training.machine import choose_layout, keep_wandb_id, require_compiler, start_loggers
from diptych.training.memory import MemoryOptions, explained_exhaustion, list_networks
from diptych.training.objective import check_objective, read_objective
from diptych.training.recipe import Recipe, build, read_recipe
from diptych.training.resume import choose_checkpoint
from diptych.training.run_log import keep_log


def train(config: Mapping[str, Any], record: Mapping[str, Any], text: str, job: Job) -> float | None:
    """Check the recipe, build its parts, the data first so that missing images are noticed at once, and train.

    `config` is the composed configuration as plain data, `record` what checkpoints keep of it, `text` what the run
    folder does; `job` are the processes that train together. The first of them returns the score that the recipe
    names as its `objective`, all others and without one None.
    """
    recipe = read_recipe(config)
    _prepare_process(recipe.seed)
    run_dir, objective = Path(recipe.run_dir), recipe.objective
    data = build("data", recipe.data)
    with lock_run(run_dir, job.name) if job.leads else nullcontext():
        clear_leftovers(run_dir / "checkpoints")
        record = {**record, "data_fingerprint": data.fingerprint}
        resumption = choose_checkpoint(run_dir, recipe.resume)
        method = _make_method(recipe, data, resumption.path is not None)
        callbacks = [*build("callbacks", recipe.callbacks).values(), RunState(record)]
        measured = [metric for one in callbacks if getattr(one, "evaluation", False) for metric in one.metrics]
        check_objective(objective, data, method.translators, measured)
        processes = job.count_processes(recipe.trainer.arguments)
        changes = resumption.check_changes(record, recipe.resume_changes == "allow", processes)
        data.make_batches(processes)  # raises where there are none
        method.check(data)
        if resumption.is_finished(run_dir) and not changes:
            say(f"{run_dir}: this run is finished; nothing to do")
            return read_objective(objective, run_dir)
        crops = data.preparation.crops and not recipe.trainer.arguments.get("deterministic")
        settings = {"max_epochs": method.schedule.total_epochs, "benchmark": crops, "callbacks": callbacks}
        loggers = keep_wandb_id(recipe.logger or {}, run_dir) if job.leads else recipe.logger or {}
        trainer = _make_trainer(recipe, loggers, settings | job.arrange(recipe.trainer.arguments))
        resumption = resumption.find_fitting(method, trainer)
        with _leading(run_dir, method) if trainer.is_global_zero else nullcontext():
            if trainer.is_global_zero:
                for remark in (*resumption.remarks, *changes):
                    say(remark)
                write_text(run_dir / "config.yaml", text)
                trainer.loggers = start_loggers(trainer.loggers, record)
            with explained_exhaustion(method, data.batch_size), explained_misconfiguration():
                trainer.fit(method, data, ckpt_path=resumption.path, weights_only=True)
        return read_objective(objective, run_dir) if trainer.is_global_zero else None


@contextmanager
def _leading(run_dir: Path, method: Method) -> Iterator[None]:
    """Keep the run's log; where the run is refused before its first batch is done, nothing is left of it.

    That is so only where nothing was in the folder before, and not for what numbers or the machine have brought about.
    """
    fresh = {path.name for path in run_dir.iterdir()} <= {*OF_THE_LOCK, "wandb_run_id"}
    try:
        with keep_log(run_dir / "train.log"):
            yield
    except Exception as error:
        mistake = find_mistake(error)
        if fresh and not method.iteration and mistake and not isinstance(mistake, NumericError | MachineError):
            for path in run_dir.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name not in OF_THE_LOCK:
                    path.unlink()
        raise


@contextmanager
def explained_misconfiguration() -> Iterator[None]:
    """Turn what Lightning does not take of `trainer` and only says when it begins into one line."""
    try:
        yield
    except MisconfigurationException as error:
        raise UserError(f"trainer: {name_reason(error)}") from error


def _make_trainer(recipe: Recipe, loggers: Mapping[str, Any], settings: Mapping[str, Any]) -> Trainer:
    """Build Lightning's trainer with its loggers; `settings` are what follows from the recipe's other parts."""
    arguments = {**recipe.trainer.arguments, **settings, "logger": list(build("logger", loggers).values())}
    trainer: Trainer = build("trainer", replace(recipe.trainer, arguments=arguments))
    return trainer


def _prepare_process(seed: int) -> None:
    """Seed every generator, keep libraries quiet, and let arithmetic and memory be as quick as they can."""
    seed_everything(seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # the run's own progress says what matters
    warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*smaller than the logging interval.*|.*worker processes.*")
    # It is resumable: a batch is a function of the seed and of the iteration that the checkpoint holds.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    torch.set_float32_matmul_precision("high")
    keep_freed_memory()


def choose_weights(recipe: Recipe, resumed: bool) -> dict[str, dict[str, Any]]:
    """Return the settings of networks that start from weights: without the file where a checkpoint has them.

    A method with a network of its own, whose settings say nothing of weights, goes by the recipe's part.
    """
    told = {}
    for role in ("generator", "discriminator"):
        settings = recipe.method.arguments.get(role) or {}
        wish = keep_pretrained(getattr(recipe, role)) | keep_pretrained(settings)
        if wish.get("pretrained") is not None:
            told[role] = {**settings, **wish} | ({"pretrained": None} if resumed else {})
    return told


def _make_method(recipe: Recipe, data: UnpairedData, resumed: bool) -> Method:
    """Build the method for the data's channels, laid out, compiled and sparing of memory as the recipe says."""
    given = {"channels": data.channels, **choose_weights(recipe, resumed)}
    method: Method = build("method", replace(recipe.method, arguments={**recipe.method.arguments, **given}))
    set_memory_format(method, choose_layout(recipe.channels_last, recipe.trainer.arguments.get("accelerator", "auto")))
    if recipe.compile:
        require_compiler()
        compile_networks(method, dynamic=None if data.preparation.crops else True)
        say("compile=true: the first batches take minutes, those after them are quicker")
    MemoryOptions(recipe.recompute, recipe.accumulate).apply(method)
    return method


def set_memory_format(method: Method, channels_last: bool) -> None:
    """Keep the networks' weights, and with them all images between layers, channels last or not."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for network in list_networks(method):
        network.to(memory_format=layout)


def compile_networks(method: Method, dynamic: bool | None = None) -> None:
    """Let each network be compiled at its first call; `dynamic` where images are of many sizes."""
    for network in list_networks(method):
        network.compile(dynamic=dynamic)
