"""Compose a recipe and train it: `python train.py experiment=monet2photo`; `--help` explains the rest."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come up to here, where they become one line

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diptych.errors import UserError

ALLOWED = ("diptych", "torch.optim", "torch.nn", "torchvision.transforms", "kornia", "pytorch_lightning")
CONF = Path(__file__).resolve().parent / "conf"

PATHS = {f"data.{key}" for key in ("root", "path_a", "path_b", "test_path_a", "test_path_b", "cache_dir", "download")}
PATHS |= {"run_dir", "resume"}


def resolve_with(name: str) -> Callable[..., Any]:
    """Return a function of `callbacks.machine` that is imported when it is called: help must not wait for torch."""
    return lambda *arguments: getattr(import_module("diptych.callbacks.machine"), name)(*arguments)


OmegaConf.register_new_resolver("lightning_precision", resolve_with("choose_precision"), replace=True)
OmegaConf.register_new_resolver("wandb_offline", resolve_with("is_wandb_offline"), replace=True)
OmegaConf.register_new_resolver("wandb_run", resolve_with("name_wandb_run"), replace=True)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(config: DictConfig) -> None:
    """Train what the recipe names; callbacks evaluate and export."""
    with explained_errors():
        config.run_dir = HydraConfig.get().runtime.output_dir
        if HydraConfig.get().mode == RunMode.MULTIRUN and config.trainer.get("strategy"):
            raise UserError("-m with trainer=ddp: every process would start the whole sweep again; run the jobs singly")
        fit(config)


def fit(config: DictConfig) -> None:
    """Build the parts, the data first so that missing images are noticed at once, and train."""
    import torch  # here, and what needs it too, because `--help` must not wait for them
    from pytorch_lightning import seed_everything

    from diptych.callbacks.checkpoint_files import clear_leftovers
    from diptych.callbacks.machine import choose_by_direction, choose_layout, require_compiler, start_loggers
    from diptych.callbacks.resume import choose_checkpoint
    from diptych.callbacks.run_lock import lock_run
    from diptych.data.text_files import write_text
    from diptych.networks import keep_freed_memory

    refuse_foreign_targets(config)
    seed_everything(config.seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # the run's own progress says what matters
    warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*smaller than the logging interval.*")
    # It is resumable: a batch is a function of the seed and of the iteration that the checkpoint holds.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    torch.set_float32_matmul_precision("high")
    keep_freed_memory()
    data = instantiate(config.data, _convert_="all")
    config.trainer.benchmark = data.preparation.crops and not config.trainer.deterministic
    with lock_run(Path(config.run_dir)):
        clear_leftovers(Path(config.run_dir, "checkpoints"))
        method = instantiate(config.method, channels=data.channels, _convert_="all")
        method.lay_out(choose_layout(config.channels_last, config.trainer.accelerator))
        if config.compile:
            require_compiler()
            method.compile_networks(dynamic=None if data.preparation.crops else True)
            print("compile=true: the first batches take minutes, those after them are quicker", flush=True)
        method.recipe = dict(OmegaConf.to_container(config, resolve=True), data_fingerprint=data.fingerprint)  # type: ignore[arg-type]
        resumption = choose_checkpoint(Path(config.run_dir), config.resume)
        changes = resumption.check_changes(method.recipe, config.resume_changes == "allow")
        if resumption.is_finished(Path(config.run_dir)) and not changes:
            print(f"{config.run_dir}: this run is finished; nothing to do")
            return
        parts = {kind: list(instantiate(config[kind], _convert_="all").values()) for kind in ("callbacks", "logger")}
        epochs = method.schedule.total_epochs
        trainer = instantiate(config.trainer, max_epochs=epochs, **parts, _convert_="all")
        by_direction = choose_by_direction(config.by_direction, method.renders_apart, trainer.world_size)
        method.save_memory(config.recompute, by_direction, config.accumulate)
        if trainer.is_global_zero:
            for remark in (*resumption.remarks, *changes):
                print(remark)
            write_text(Path(config.run_dir, "config.yaml"), OmegaConf.to_yaml(config))
            trainer.loggers = start_loggers(trainer.loggers, method.recipe)
        trainer.fit(method, data, ckpt_path=resumption.path, weights_only=True)


def quote_paths(arguments: list[str]) -> list[str]:
    """Quote the values that are paths, so that Hydra's grammar sees no meaning in é, =, a comma or brackets."""
    sweeps = bool({"-m", "--multirun"} & set(arguments))
    return [quote(argument) if not (sweeps and "," in argument) else argument for argument in arguments]


def quote(argument: str) -> str:
    """Return `key='value'` where the key's value is a path, not null, quoted or an interpolation."""
    key, equals, value = argument.partition("=")
    if key.lstrip("+") not in PATHS or value in ("", "null") or value[0] in "'\"" or "${" in value:
        return argument
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"{key}{equals}'{escaped}'"


def refuse_foreign_targets(config: DictConfig) -> None:
    """Let a recipe name only classes of these packages, under whatever alias, before anything is built."""
    container = OmegaConf.to_container(config, resolve=False)
    for target in find_targets(container):
        named = within(target) and get_object(target)
        if not (isinstance(named, type) and within(f"{named.__module__}.")):
            raise UserError(f"_target_: {target} is not allowed in a recipe; a class of {', '.join(ALLOWED)} is")


def within(path: str) -> bool:
    """Whether a dotted path lies in a package that recipes may use."""
    return path.startswith(tuple(f"{package}." for package in ALLOWED))


def find_targets(node: object) -> Iterator[str]:
    """Yield every `_target_` in nested dicts and lists."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_":
                yield str(value)
            else:
                yield from find_targets(value)
    elif isinstance(node, list):
        for item in node:
            yield from find_targets(item)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turn a mistake of the user's into one line and an exit code; what is our mistake keeps its traceback."""
    try:
        yield
    except Exception as error:
        chain: list[BaseException] = [error]
        while cause := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(cause)
        mistake = next((link for link in chain if isinstance(link, UserError)), None)
        if mistake is None and not isinstance(error, HydraException | OmegaConfBaseException):
            raise
        print(f"error: {shorten(str(mistake)) if mistake else rephrase(error)}", file=sys.stderr)
        sys.exit(mistake.exit_code if mistake else UserError.exit_code)


def shorten(message: str) -> str:
    """Return the mistake itself where a data loader's worker has wrapped it in a traceback."""
    return message.strip().splitlines()[-1].split("Error: ")[-1] if "Original Traceback" in message else message


def rephrase(error: Exception) -> str:
    """Return Hydra's message in one line, with the nearest key where one was mistyped."""
    message = str(error)
    if isinstance(error, OverrideParseException):
        name, _, value = error.override.partition("=")
        return f"{error.override} cannot be understood; if the value is meant literally, quote it: {name}='\"{value}\"'"
    key = re.match(r"Could not override '([^']+)'", message)
    if key is None:
        return " ".join(message.split("Config search path")[0].split())
    inner = re.search(r"full_key: (\S+)", str(error.__cause__))
    if inner and inner[1].startswith(f"{key[1]}."):  # names in braces are added to what is there, and must be known
        name = inner[1].rpartition(".")[2]
        return f"{key[1]} has no {name} yet: +{inner[1]}=VALUE adds it, ~{key[1]}.NAME takes one away"
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        keys = list(list_keys(hydra.compose("train")))
    close = get_close_matches(key[1], keys, n=1)
    hint = f"did you mean {close[0]}?" if close else "`python train.py --cfg job` lists all"
    return f"there is no key {key[1]} in the configuration; {hint}"


def list_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield every key of the configuration in dotted form."""
    for key in map(str, config):
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from list_keys(node, f"{prefix}{key}.")


if __name__ == "__main__":
    with explained_errors():
        sys.argv[1:] = quote_paths(sys.argv[1:])
        main()
