"""A folder that is there whole or not at all, with a note of where its files came from."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diptych.errors import MachineError

NOTE = ".diptych-source.json"


@contextmanager
def stage_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `folder` at the end; nothing of it remains if there is an error.

    Two processes must not do so at once for the same folder: what is found of the sibling is a dead one's.
    """
    staged = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        yield staged
        if folder.is_dir():
            folder.rmdir()  # an empty folder makes way, a full one is an error
        staged.rename(folder)
    except OSError as error:
        raise MachineError(f"{error.filename or folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def write_note(folder: Path, **facts: Any) -> None:
    """Say in the folder where its files came from, and when."""
    note = facts | {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n")
