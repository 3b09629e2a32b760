"""What a person did wrong, said in one line, with the exit code that tells a script."""


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
