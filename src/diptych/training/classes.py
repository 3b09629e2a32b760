"""Which classes a recipe may build, and what those that are not ours must be given."""

from collections.abc import Mapping
from importlib import import_module
from inspect import isabstract
from typing import Annotated, Any, Literal

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger
from torch.optim import Optimizer

from diptych.arguments import Amount, Count, Momentum, Pattern, Range, Rate, suggest
from diptych.errors import UserError, name_reason
from diptych.plugins import list_modules

ROOMS = ("diptych.callbacks", "diptych.losses", "diptych.methods", "diptych.metrics")
"""Whose own classes may all be built, as may those of the modules that other packages offer by entry points."""
NAMED = {
    "diptych.data": "UnpairedData",
    "diptych.networks": "EfficientNetLite Vgg",
    "diptych.translators": "TranslatorEncoder",
    "diptych.training.checkpoint_files": "CheckpointFiles",
    "torch.optim": "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax NAdam RAdam RMSprop Rprop SGD",
    "torch.nn": "HuberLoss L1Loss MSELoss SmoothL1Loss",
    "pytorch_lightning": "Trainer",
    "pytorch_lightning.callbacks": "DeviceStatsMonitor EarlyStopping LearningRateMonitor Timer",
    "pytorch_lightning.loggers": "CSVLogger CometLogger MLFlowLogger TensorBoardLogger WandbLogger",
    "pytorch_lightning.profilers": "AdvancedProfiler PyTorchProfiler SimpleProfiler",
    "pytorch_lightning.strategies": "DDPStrategy",
    "kornia.augmentation": "CenterCrop ColorJiggle ColorJitter RandomAffine RandomAutoContrast RandomBoxBlur "
    "RandomBrightness RandomChannelDropout RandomChannelShuffle RandomClahe RandomContrast RandomElasticTransform "
    "RandomEqualize RandomErasing RandomFisheye RandomGamma RandomGaussianBlur RandomGaussianNoise RandomGrayscale "
    "RandomHorizontalFlip RandomHue RandomInvert RandomJPEG RandomMedianBlur RandomMotionBlur RandomPerspective "
    "RandomPlanckianJitter RandomPlasmaBrightness RandomPlasmaContrast RandomPlasmaShadow RandomPosterize "
    "RandomRGBShift RandomRotation RandomSaltAndPepperNoise RandomSaturation RandomSharpness RandomSolarize "
    "RandomThinPlateSpline RandomVerticalFlip",
}
"""The classes of other modules that may be built, under these names."""

_BATCHES = Count | Annotated[float, Range(1e-9, 1)]
FOREIGN: dict[type, dict[str, Any]] = {
    Optimizer: {
        "lr": Rate,
        "betas": tuple[Momentum, Momentum],
        "eps": Annotated[float, Range(0, 1)],
        "weight_decay": Rate,
        "momentum": Momentum,
        "alpha": Momentum,
    },
    Trainer: {
        "accelerator": Literal["auto", "cpu", "cuda", "gpu", "mps", "tpu"],
        "devices": Count | Annotated[str, Pattern(r"auto|\d+(,\d+)*", "auto or numbers")] | list[Amount],
        "num_nodes": Count,
        "limit_train_batches": _BATCHES,
        "log_every_n_steps": Count,
        "num_sanity_val_steps": Amount,
        "use_distributed_sampler": Literal[False],
    },
    WandbLogger: {"settings": Mapping[str, float]},
}
"""Bounds that the annotations of other packages do not state, by class and argument."""


def find_class(place: str, target: object) -> type:
    """Return the class that a recipe's `_target_` names; `UserError` unless it is one that recipes may build."""
    module, _, name = target.rpartition(".") if isinstance(target, str) else ("", "", "")
    homes = [home for home in (*ROOMS, *list_modules()) if f"{module}.".startswith(f"{home}.")]
    if name in NAMED.get(module, "").split() or homes:
        found = getattr(_import(place, module), name, None)
        own = isinstance(found, type) and f"{found.__module__}.".startswith(tuple(f"{home}." for home in homes))
        if isinstance(found, type) and (own or not homes) and not isabstract(found):
            return found
    raise UserError(f"{place}._target_ = {target!r}: is not allowed in a recipe{suggest(str(target), _list_names())}")


def list_bounds(cls: type) -> dict[str, Any]:
    """Return what a class of another package must be given, beyond what its annotations say."""
    return {name: hint for base, hints in FOREIGN.items() if issubclass(cls, base) for name, hint in hints.items()}


def _import(place: str, module: str) -> Any:
    try:
        return import_module(module)
    except Exception as error:  # whatever a foreign module raises
        raise UserError(f"{place}._target_: {module} cannot be imported ({name_reason(error)})") from None


def _list_names() -> list[str]:
    """Return the names that may be meant, those of the rooms' doors among them."""
    named = [f"{module}.{name}" for module, names in NAMED.items() for name in names.split()]
    doors = {room: vars(import_module(room)) for room in ROOMS}
    return named + [f"{room}.{name}" for room, door in doors.items() for name in door if isinstance(door[name], type)]
