"""What a person did wrong, said in one line, with the exit code that tells a script."""

import errno
import re

_EXHAUSTED = re.compile(
    r"out of memory|not enough memory|bad.?alloc|alloc\w*\b.*\bmemory|memory\b.*\balloc", re.IGNORECASE
)
"""What numpy, Pillow, torch, ONNX Runtime and OpenVINO say of memory that they did not get."""


class UserError(Exception):
    """A mistake in the usage or the configuration: exit code 2."""

    exit_code = 2


class NumericError(UserError):
    """A loss or a gradient that is not finite: exit code 3."""

    exit_code = 3


class DataError(UserError):
    """An image or a folder that cannot be used: exit code 4."""

    exit_code = 4


class FileError(UserError):
    """A checkpoint, bundle or state dict that cannot be used: exit code 5."""

    exit_code = 5


class MachineError(UserError):
    """A disk, memory or device that does not do what was asked: exit code 6."""

    exit_code = 6


def name_reason(error: BaseException) -> str:
    """Return the first line of what a library's error says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def is_exhaustion(error: BaseException) -> bool:
    """Whether an error, of whichever library, says that there is not enough memory, of the machine or of a device."""
    if isinstance(error, UserError):
        return False
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, without torch
    return known or refused or _EXHAUSTED.search(str(error)) is not None
