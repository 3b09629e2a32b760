"""Small text files, written whole or not at all."""

from pathlib import Path
from uuid import uuid4

from diptych.errors import MachineError


def write_text(path: Path, text: str) -> None:
    """Write the file, whole or not at all; `MachineError` names it when that fails."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")  # two processes may write the same file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written ({error.strerror or error})") from None
