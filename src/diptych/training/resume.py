"""Going on with a run: which checkpoint, and whether the recipe is still the same."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from diptych.errors import FileError, UserError
from diptych.methods import Method
from diptych.training.checkpoint_files import LAST, PREVIOUS, find_newest, verify_checkpoint
from diptych.training.trial import find_misfit
from diptych.translators.header import FORMAT

FINISHED = "finished"
"""The file that a run folder has when everything is done, evaluation and export included."""
_NOTHING: tuple[Any, ...] = (None, 0, {}, [])  # what a part that is not configured may be written as
_HARMLESS = (
    "run_dir", "resume", "resume_changes", "objective", "logger.*", "callbacks.progress*", "callbacks.samples*",
    "callbacks.checkpoint*", "callbacks.finish*", "callbacks.wandb_run*", "callbacks.data_report*", "data.on_error",
    "data.workers", "data.cache*", "data.download",
    "data.root", "data.path_*", "data.test_path_*",  # the fingerprint tells whether the images are the same
    "trainer.log_every_n_steps", "trainer.enable_*", "trainer.plugins", "callbacks.memory*", "callbacks.alarms*",
    "metric.*", "callbacks.evaluate*", "data.validation",  # what is held out tells itself by the fingerprint
    "generator.pretrained*", "discriminator.pretrained*",  # where a run began is in its checkpoint
    "method.generator.pretrained*", "method.discriminator.pretrained*",
)  # fmt: skip


@dataclass(frozen=True)
class Resumption:
    """The checkpoint to go on from, if any, with its content, and what the user should be told about it."""

    path: Path | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    fallback: Path | None = None

    def check_changes(self, recipe: Mapping[str, Any], allowed: bool, processes: int | None = None) -> list[str]:
        """Return what differs from the checkpoint's recipe, and from the number of processes that trained by it.

        `UserError` names what makes this another run.
        """
        if self.path is None:
            return []
        header = self.content["diptych"]
        older = header["format"] < FORMAT  # whose switches may be gone, and mean nothing any more
        known = {key: value for key, value in header["recipe"].items() if key in recipe or not older}
        before, now = _list_values(known), _list_values(recipe)
        grave = [
            f"{key}: {before.get(key)} → {now.get(key)}"
            for key in sorted(before.keys() | now.keys())
            if not _is_same(before.get(key), now.get(key)) and not any(fnmatch(key, pattern) for pattern in _HARMLESS)
        ]
        if processes is not None and processes != (trained := len(header["processes"])):
            grave.append(f"processes: {trained} → {processes}")
        if grave and not allowed:
            raise UserError(
                f"the recipe differs from that of {self.path} ({'; '.join(grave)}); "
                "undo that, or go on all the same with resume_changes=allow"
            )
        return [f"changed since the checkpoint: {change}" for change in grave]

    def find_fitting(self, method: Method, trainer: Trainer) -> "Resumption":
        """Return this, or where its states cannot be taken up, the checkpoint before it.

        `FileError` says what does not fit where there is none, or it does not fit either.
        """
        if self.path is None or (misfit := find_misfit(self.content, method, trainer)) is None:
            return self
        if self.fallback is None or not self.fallback.exists():
            raise FileError(f"{self.path}: {misfit}; it cannot be gone on from")
        remarks = (f"skipped {self.path}: {misfit}", f"going on from {self.fallback}")
        return Resumption(self.fallback, verify_checkpoint(self.fallback), remarks).find_fitting(method, trainer)

    def is_finished(self, run_dir: Path) -> bool:
        """Whether the run came to its end with this checkpoint, everything after the training included."""
        marker = run_dir / FINISHED
        if self.path is None or not marker.is_file():
            return False
        return marker.read_text(errors="replace").strip() == str(self.content["diptych"]["iteration"])


def choose_checkpoint(run_dir: Path, resume: str | None) -> Resumption:
    """Return what `resume` means: a file, or with `auto` the run folder's newest checkpoint that verifies."""
    own = run_dir / "checkpoints"
    elsewhere = resume is None or (resume != "auto" and Path(resume).resolve().parent != own.resolve())
    if elsewhere and (own / LAST).exists():
        raise UserError(f"{run_dir}: there is a run already; go on with it by resume=auto, or choose another run_dir")
    if resume is None:
        return Resumption()
    if resume != "auto":
        return Resumption(Path(resume), verify_checkpoint(Path(resume)), (f"going on from {resume}",))
    newest, skipped = find_newest(own)
    if newest is None and skipped:
        raise FileError(f"{run_dir}: no checkpoint can be gone on from; " + "; ".join(skipped))
    if newest is None:
        return Resumption(remarks=("no checkpoint yet: starting from scratch",))
    remarks = tuple(f"skipped {reason}" for reason in skipped)
    fallback = own / PREVIOUS if newest[0].name == LAST else None
    return Resumption(*newest, (*remarks, f"going on from {newest[0]}"), fallback)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values of a key mean the same; one that is not there is nothing."""
    return one == other or (one in _NOTHING and other in _NOTHING and None in (one, other))


def _list_values(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return every value by its dotted key; a path in the run folder is the same wherever that lies."""
    folder = str(recipe.get("run_dir"))
    values = dict(_flatten(recipe))
    for key, value in values.items():
        if isinstance(value, str) and (value == folder or value.startswith(f"{folder}{os.sep}")):
            values[key] = "RUN_DIR" + value.removeprefix(folder)
    return values


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
