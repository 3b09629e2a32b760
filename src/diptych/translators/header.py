"""The one door through which passes what a file says of a network or a run: a schema, and one line where it misfits."""

import json
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, ValidationError
from torch import Tensor

from diptych.errors import FileError

FORMAT = 2
"""Of bundles and of checkpoints that this version writes."""
READABLE = (1, 2)
EXTRA_STATE_1 = "remembered"
"""What the states of a method's parts were called in format 1."""
_LONGEST = 2**20  # characters of a bundle's header; real ones have a thousand
_VERSION = r"^[2-9]\.\d+(\.\d+)?(\.?(a|b|rc|post|dev)\d+)*(\+[a-z\d]+(\.[a-z\d]+)*)?$"
"""Lightning's, whose first did not write such checkpoints."""
_DEEPEST = 8  # parts of a place that are said

Counted = Annotated[int, Field(ge=0, le=2**53)]  # what loggers' floats can hold
Side = Annotated[int, Field(ge=1, le=2**16)]
Tensors = dict[str, Tensor]


class _Part(BaseModel):
    """What is known of a part; what else is in it is nobody's business."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)


class FormWords(_Part, extra="forbid"):
    """The words of `Form.describe`."""

    channels: int = 3
    range: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)] | None = None
    depth: str = ""
    background: str = ""


class Notes(_Part, extra="allow"):
    """What is known of a translator, none of which must be; whatever else somebody notes is as plain as JSON."""

    __pydantic_extra__: dict[str, JsonValue]
    direction: Literal["ab", "ba"] = "ab"
    from_: str = Field(default="", alias="from")
    to: str = ""
    size: Side = 1
    load_size: Side = 1
    preset: str = ""
    input: FormWords = FormWords()
    output: FormWords = FormWords()
    recognised: str = ""

    def describe(self) -> dict[str, Any]:
        """Return what was noted, and nothing else."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Described(_Part):
    """A network in the words from which it is built."""

    network: str
    arguments: dict[str, JsonValue]

    def say(self) -> str:
        """Return the words in one line: `UnetGenerator (width = 64, depth = 8)`."""
        arguments = (f"{name} = {reprlib.repr(value)}" for name, value in self.arguments.items())
        return f"{self.network} ({', '.join(arguments)})"


class Bundle(Described):
    """The header of a bundle."""

    notes: Notes


class Direction(Described):
    """A direction's network, whose tensors are those of the method's whose names begin with the prefix."""

    prefix: str


class CheckpointHeader(_Part):
    """What a checkpoint says of its translators."""

    translators: dict[str, Direction]
    notes: dict[str, Notes] = {}


class Averages(_Part):
    """The state of `EMA`: the averages by direction."""

    averaged: dict[str, Tensors] = {}


class Alarms(_Part):
    """The state of the callback of this name."""

    raised: list[str]
    suspected: list[str]


class Callbacks(_Part):
    """The states of callbacks."""

    ema: Averages = Field(default=Averages(), alias="EMA")
    alarms: Alarms | None = Field(default=None, alias="Alarms")


class Checkpoint(_Part):
    """What translators are made from."""

    diptych: CheckpointHeader
    state_dict: Tensors
    callbacks: Callbacks = Callbacks()


class PythonState(_Part):
    """The state of Python's random generator."""

    version: int
    words: Tensor
    gauss: float | None


class NumpyState(_Part):
    """The state of NumPy's."""

    name: str
    keys: Tensor
    position: Annotated[int, Field(ge=0, le=624)]  # of its words, behind which NumPy would read what is no state
    has_gauss: Annotated[int, Field(ge=0, le=1)]
    cached: float


class RandomState(_Part):
    """The states of a process's random generators."""

    python: PythonState
    numpy: NumpyState
    torch: Tensor
    cuda: list[Tensor]


class Process(_Part):
    """What a process draws from, and the states of its method's parts, which had another name in format 1."""

    random: RandomState
    extra_state: dict[str, dict[str, Any]] = Field(validation_alias=AliasChoices("extra_state", EXTRA_STATE_1))


class Recipe(_Part, extra="allow"):
    """The recipe as plain data."""

    __pydantic_extra__: dict[str, JsonValue]
    method: dict[str, JsonValue] = {}


class TrainingHeader(CheckpointHeader):
    """What a checkpoint says of its run."""

    iteration: Counted
    images_seen: Counted
    recipe: Recipe
    processes: Annotated[list[Process], Field(min_length=1)]


class TrainingAverages(Averages):
    """The state of `EMA`, to go on from."""

    updates: Counted


class TrainingCallbacks(Callbacks):
    """The states of callbacks, to go on from."""

    ema: TrainingAverages | None = Field(default=None, alias="EMA")  # type: ignore[assignment]


class Optimizer(_Part):
    """The state of an optimizer."""

    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class Training(_Part):
    """All that a run goes on from."""

    diptych: TrainingHeader
    state_dict: Tensors
    callbacks: TrainingCallbacks
    optimizer_states: list[Optimizer]
    lr_schedulers: list[dict[str, Any]]
    loops: dict[str, dict[str, Any]]
    epoch: Counted
    global_step: Counted
    version: str = Field(alias="pytorch-lightning_version", pattern=_VERSION)


class _Versioned(_Part):
    format: int


Part = TypeVar("Part", bound=_Part)


def read_bundle(path: Path, text: str) -> Bundle:
    """Return a bundle's header from its JSON; `FileError` names the file and what does not fit."""
    try:
        if len(text) > _LONGEST:
            raise ValueError
        words = json.loads(text)
    except (ValueError, RecursionError):  # the last for brackets without end
        raise FileError(f"{path}: not a translator: its header is damaged") from None
    _check_version(path, "bundle", words)
    return _read(path, words, Bundle)


def read_checkpoint(path: Path, content: dict[str, Any]) -> Checkpoint:
    """Return what a checkpoint's content says of its translators; `FileError` names the file and what does not fit."""
    _check_version(path, "checkpoint", content["diptych"])
    return _read(path, content, Checkpoint)


def check_training(path: Path, content: dict[str, Any]) -> None:
    """Raise `FileError`, which names the file and what does not fit, unless a run can go on from the content."""
    _check_version(path, "checkpoint", content["diptych"])
    _read(path, content, Training)


def _check_version(path: Path, kind: str, words: Any) -> None:
    version = _read(path, words, _Versioned).format
    if version not in READABLE:
        raise FileError(f"{path}: {kind} format {version}, this version reads up to {FORMAT}: upgrade diptych")


def _read(path: Path, words: Any, schema: type[Part]) -> Part:
    try:
        return schema.model_validate(words)
    except ValidationError as error:
        raise FileError(f"{path}: its header is damaged: {_describe(error)}") from None


def _describe(error: ValidationError) -> str:
    """Say where the first problem is, and which."""
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, problem["loc"][:_DEEPEST])) or "it"
    if problem["type"] == "missing":
        return f"it lacks {place}"
    wish = problem["msg"].partition(" or instance")[0].replace("Input should", "must")
    return f"{place} = {reprlib.repr(problem['input'])}: {wish}"
