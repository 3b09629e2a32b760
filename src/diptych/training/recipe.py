"""What a recipe may say: its keys with their types and bounds, checked as a whole before anything is built."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger

from diptych.arguments import FilePath, Label, Part, Range, Seed, find_problem, list_arguments, suggest
from diptych.data import UnpairedData
from diptych.errors import UserError, name_reason
from diptych.methods import Method
from diptych.metrics import Metric
from diptych.networks.registry import PRETRAINED, choose_arguments, find_network, validate
from diptych.training.checkpoint_files import CheckpointFiles
from diptych.training.classes import find_class, list_bounds
from diptych.training.machine import require_devices

_FOLLOWING = ("in_channels", "out_channels")
"""Arguments of networks that follow from the data."""


@dataclass(frozen=True)
class Recipe:
    """The keys at a recipe's top; parts that name a `_target_` are checked and not yet built."""

    name: Label
    domains: tuple[Label, Label]
    seed: Seed
    precision: Literal["fp32", "bf16", "auto"]
    channels_last: bool | Literal["auto"]
    compile: bool
    recompute: bool
    accumulate: Annotated[int, Range(1, 4096)]
    run_dir: FilePath
    resume: FilePath | None
    resume_changes: Literal["refuse", "allow"]
    data: Part[UnpairedData]
    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any]
    method: Part[Method]
    trainer: Part[Trainer]
    callbacks: Mapping[str, Part[Callback]]
    logger: Mapping[str, Part[Logger]] | None = None
    metric: Mapping[str, Part[Metric]] | None = None
    objective: Label | None = None


def read_recipe(recipe: Mapping[str, Any]) -> Recipe:
    """Check a resolved recipe, plain data; `UserError` names the first key that is wrong, what it is and must be."""
    known = get_type_hints(Recipe, include_extras=True)
    for name in recipe:
        if name not in known:
            raise UserError(f"there is no key {name} in a recipe{suggest(str(name), list(known))}")
    for field in fields(Recipe):
        if field.name not in recipe and field.default is MISSING:
            raise UserError(f"{field.name} is not set: a recipe needs it")
    for name, value in recipe.items():
        if not isinstance(value, Mapping):  # before the parts that refer to it
            _require(name, value, known[name])
    values = {name: _read(name, value) for name, value in recipe.items()}
    for name, value in values.items():
        _require(name, value, known[name])
    for role in ("generator", "discriminator"):
        _check_network(role, values[role])
        own = values["method"].arguments.get(role)
        if isinstance(own, Mapping):
            _check_network(f"method.{role}", own)
    checked = Recipe(**values)
    _check_together(checked)
    return checked


def _read(place: str, node: Any) -> Any:
    """Return plain data with a `Part` for whatever names a `_target_`, its arguments checked."""
    if isinstance(node, list):
        return [_read(f"{place}[{index}]", item) for index, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    inner = {name: _read(f"{place}.{name}", value) for name, value in node.items()}
    if "_target_" not in inner:
        return inner
    kind, later = find_class(place, inner.pop("_target_")), inner.pop("_partial_", False)
    _require(f"{place}._partial_", later, bool)
    _check_arguments(place, kind, inner, later)
    return Part(kind, inner, later)


def _check_arguments(place: str, kind: type, given: Mapping[str, Any], later: bool) -> None:
    """Raise `UserError` unless a class takes these arguments, and needs no others."""
    known, takes_more = list_arguments(kind)
    bounds = list_bounds(kind)
    for name, value in given.items():
        if name not in known and not takes_more:
            raise UserError(f"{place}.{name}: {kind.__name__} takes no {name}{suggest(str(name), list(known))}")
        for hint in (known[name].hint if name in known else Any, bounds.get(name, Any)):
            _require(f"{place}.{name}", value, hint)
    missing = [name for name, argument in known.items() if argument.required and name not in given]
    if missing and not later:
        raise UserError(f"{place}.{missing[0]} is not set: {kind.__name__} needs it")


def _check_network(place: str, settings: Mapping[str, Any]) -> None:
    """Raise `UserError` unless there is this network, with these arguments and weights to start from."""
    for name in PRETRAINED.keys() & settings.keys():
        _require(f"{place}.{name}", settings[name], PRETRAINED[name])
    validate(find_network(settings.get("network"), f"{place}.network"), choose_arguments(settings, _FOLLOWING), place)


def _check_together(recipe: Recipe) -> None:
    """Raise `UserError` where values are right by themselves, and not beside each other or on this machine."""
    batch_size = recipe.data.arguments.get("batch_size", 1)
    if recipe.accumulate > batch_size:
        raise UserError(
            f"accumulate = {recipe.accumulate}: a batch of data.batch_size = {batch_size} has fewer images than that"
        )
    trainer = recipe.trainer.arguments
    if not any(getattr(part, "kind", None) is CheckpointFiles for part in trainer.get("plugins") or ()):
        raise UserError("trainer.plugins needs {_target_: …CheckpointFiles}, which writes checkpoints whole")
    require_devices(trainer.get("devices", "auto"), trainer.get("accelerator", "auto"))


def _require(place: str, value: Any, hint: Any) -> None:
    if problem := find_problem(place, value, hint):
        raise UserError(problem)


def build(place: str, node: Any) -> Any:
    """Build the parts that a checked recipe holds at a place, the innermost first."""
    if isinstance(node, list):
        return [build(f"{place}[{index}]", item) for index, item in enumerate(node)]
    if isinstance(node, Mapping):
        return {name: build(f"{place}.{name}", value) for name, value in node.items()}
    if not isinstance(node, Part):
        return node
    make = partial(_construct, place, node.kind, **build(place, node.arguments))
    return make if node.later else make()


def _construct(place: str, kind: type, /, *arguments: Any, **named: Any) -> Any:
    try:
        return kind(*arguments, **named)
    except UserError:
        raise
    except Exception as error:
        if kind.__module__.partition(".")[0] not in ("torch", "pytorch_lightning", "kornia"):
            raise  # a mistake of ours
        raise UserError(f"{place}: {kind.__name__} refuses it ({name_reason(error)})") from error
