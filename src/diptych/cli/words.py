"""Words of the command line that several commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def positive(text: str) -> int:
    """Return the number an option was given; it must be 1 at least."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def count_files(files: Sequence[Path]) -> str:
    """Name one file, or the first of several."""
    return str(files[0]) if len(files) == 1 else f"{len(files)} files (first: {files[0]})"
