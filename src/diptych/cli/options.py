"""Words of the command line that several commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path

FILE_HELP = "a bundle (.safetensors), a training checkpoint (.ckpt) or a state dict of the original code (.pth)"


def positive(text: str) -> int:
    """Return the number an option was given; it must be 1 at least."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def count_files(files: Sequence[Path]) -> str:
    """Name one file, or the first of several."""
    return str(files[0]) if len(files) == 1 else f"{len(files)} files (first: {files[0]})"


def add_translator(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which translator, and where it computes."""
    parser.add_argument("--translator", type=Path, required=True, metavar="FILE", help=FILE_HELP)
    parser.add_argument("--direction", choices=("ab", "ba"), help="where a checkpoint holds both (default ab)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
