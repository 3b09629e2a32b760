"""Checkpoint files that are whole or not there: written beside their place, synced, verified, then moved."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from diptych.errors import FileError, MachineError
from diptych.networks import find_tensors
from diptych.networks.saved import read_saved
from diptych.training.checkpoint import upgrade
from diptych.translators.header import check_training

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
_MARK = ".tmp-"


class CheckpointFiles(CheckpointIO):
    """Writes a checkpoint atomically and keeps the one before as `previous.ckpt`.

    The temporary file lies in the destination folder (never in the system's), so that the last step is a
    rename within one file system; it takes the place of the old file only after it was synced and re-opened.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the file or raise `MachineError` with its path and the bytes needed; the old file stays intact."""
        path = Path(path)
        needed = sum(tensor.nbytes for tensor in find_tensors(checkpoint)) + 1_000_000
        temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(path.parent).free
            if free < needed:
                raise OSError(f"{free / 1e6:.0f} MB are free")
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:  # never through a link
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            verify_checkpoint(temporary)
            if path.exists():
                keep_previous(path)
            temporary.replace(path)
            _sync_folder(path.parent)
        except (OSError, RuntimeError, FileError) as error:
            temporary.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            kept = "; the one before is intact" if path.exists() else ""
            wish = f"it needs {needed / 1e6:.0f} MB in {path.parent}{kept}"
            raise MachineError(f"{path}: checkpoint not written ({reason}); {wish}") from None

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return a verified checkpoint; only tensors, numbers and strings are ever read."""
        return verify_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def verify_checkpoint(path: Path) -> dict[str, Any]:
    """Return the checkpoint's content, or raise `FileError` saying why it cannot be gone on from."""
    if not path.is_file():
        raise FileError(f"{path}: no such checkpoint")
    try:
        content = read_saved(path)
    except ValueError as error:
        raise FileError(f"{path}: damaged, or no checkpoint at all ({error})") from None
    if not isinstance(content, dict) or "diptych" not in content:
        raise FileError(f"{path}: not a checkpoint of diptych")
    check_training(path, content)
    return upgrade(content)


def keep_previous(path: Path) -> None:
    """Give the present file its second name, without a moment in which it has none."""
    link = path.with_name(f".{PREVIOUS}{_MARK}{os.getpid()}")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, link)
    link.replace(path.with_name(PREVIOUS))


def clear_leftovers(folder: Path) -> list[Path]:
    """Delete temporary files of runs that were killed while writing; return them."""
    leftovers = sorted(folder.glob(f".*{_MARK}*")) if folder.is_dir() else []
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def find_newest(folder: Path) -> tuple[tuple[Path, dict[str, Any]] | None, list[str]]:
    """Return the newest checkpoint of a run that verifies with its content, and why newer ones were skipped."""
    skipped: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if path.exists():
            try:
                return (path, verify_checkpoint(path)), skipped
            except FileError as error:
                skipped.append(str(error))
    return None, skipped


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last (POSIX only)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
