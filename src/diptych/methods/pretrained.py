"""Weights that networks start from instead of drawn ones: a bundle's, a checkpoint's or another project's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from diptych.arguments import find_problem
from diptych.errors import FileError, UserError
from diptych.networks.registry import PRETRAINED
from diptych.terminal import say
from diptych.translators.bundle import find_misfit, read_weights, refuse_spoilt

_NAMED = 3  # tensors that are named where some do not fit


def keep_pretrained(settings: object) -> dict[str, Any]:
    """Return what a recipe's settings of a network say of weights to start from, and nothing else of them."""
    held = settings if isinstance(settings, Mapping) else {}
    return {key: held[key] for key in PRETRAINED if key in held}


class Pretrained:
    """What a recipe's `generator` or `discriminator` starts from: `pretrained`, and whether all of it must fit.

    `pretrained` is a file for all networks of the role, of a checkpoint the one of the same name, or a file by name:
    `{ab: FILE, ba: FILE}`, `{a: FILE, b: FILE}`.
    """

    def __init__(self, role: str, settings: Mapping[str, Any]) -> None:
        self.role, self.files = role, settings.get("pretrained")
        self.strict = settings.get("pretrained_strict", True)
        for name, value in keep_pretrained(settings).items():
            if problem := find_problem(f"{role}.{name}", value, PRETRAINED[name]):
                raise UserError(problem)
        self._said: set[str] = set()

    def load(self, networks: Mapping[str, nn.Module]) -> None:
        """Load into each network, `{"ab": …}` or `{"b": …}`, the weights of its file."""
        if self.files is None:
            return
        held = ", ".join(f"{self.role}_{name}" for name in networks)
        if not held:
            raise UserError(f"{self.role}.pretrained: this method has no {self.role}; leave it out")
        files = self.files if isinstance(self.files, Mapping) else dict.fromkeys(networks, self.files)
        if unknown := sorted(map(str, files.keys() - networks.keys())):
            raise UserError(f"{self.role}.pretrained.{unknown[0]}: this method has {held}")
        for name, file in files.items():
            if file is not None:
                self._fill(networks[name], name, Path(file))

    def _fill(self, network: nn.Module, name: str, path: Path) -> None:
        tensors, described = read_weights(path, self.role, name)
        whole, expected = f"{self.role}_{name}", network.state_dict()
        misfits = _list_misfits(tensors, expected)
        if misfits and self.strict:
            first, words = next(iter(misfits.items()))
            count = f"{len(misfits)} of its tensors in all" if len(misfits) > 1 else "no other"
            held = f"; the file is of {described.say()}" if described else ""
            fit = f"{whole} does not start from it ({count}{held}); {self.role}.pretrained_strict=false loads what fits"
            raise FileError(f"{path}: {words.format(repr(first))}: {fit}")
        fitting = {key: tensor for key, tensor in tensors.items() if key not in misfits}
        if not fitting:
            raise FileError(f"{path}: none of its tensors fits {whole}")
        for key, tensor in fitting.items():
            refuse_spoilt(path, key, tensor.to(expected[key].dtype))
        network.load_state_dict(fitting, strict=False)
        if misfits:
            some = ", ".join(list(misfits)[:_NAMED]) + (", …" if len(misfits) > _NAMED else "")
            count = "1 tensor" if len(misfits) == 1 else f"{len(misfits)} tensors"
            self._say(f"{path}: {count} did not fit {whole}: {some}")

    def _say(self, remark: str) -> None:
        """Print a line once, although a method that adds networks has all of them begin again."""
        if remark not in self._said:
            self._said.add(remark)
            rank_zero_only(say)(remark)


def _list_misfits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, str]:
    """Return what is wrong, in words with room for the name, with each tensor that is missing, extra or misshapen."""
    misfits = {}
    for key, tensor in expected.items():
        if key not in tensors:
            misfits[key] = "lacks tensor {}"
        elif misfit := find_misfit(tensors[key], tensor):
            misfits[key] = f"tensor {{}} {misfit}"
    return misfits | {key: "has an extra tensor {}" for key in tensors if key not in expected}
