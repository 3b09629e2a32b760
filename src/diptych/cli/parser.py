"""A parser that says mistakes in one line, with the nearest word where one was mistyped, and the types of options.

Every option that takes a number has a range here, and every path is looked at, so that nonsense is refused at once.
"""

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from diptych.errors import UserError


class Parser(argparse.ArgumentParser):
    """Raises `UserError` instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is unknown before what is missing: a mistyped option is both."""
        words = list(args or ())
        for word in words:
            if word == "--" or (self._subparsers and not word.startswith("-")):
                break  # what follows is no option, or a command's
            name = word.partition("=")[0]
            if word.startswith("--") and not any(known.startswith(name) for known in self._option_string_actions):
                self.error(f"there is no option {name}{_guess(name, self._option_string_actions)}")
        found, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(f"{unknown[0]} is one word too many")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            words = f"there is no {value}{_guess(value, action.choices)}; one of {', '.join(action.choices)}"
            raise argparse.ArgumentError(action, words)


def _guess(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an option that takes a whole number of a range."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text} must be a whole number from {least} to {most}")
        return number

    return read


def real(least: float = -math.inf, most: float = math.inf, above: bool = False) -> Callable[[str], float]:
    """Return the type of an option that takes a number of a range, without its lower end where it must be `above`."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or not least <= number <= most or (above and number == least):
            low = f" {'above' if above else 'of at least'} {least:g}" if math.isfinite(least) else ""
            high = f" and at most {most:g}" if math.isfinite(most) else ""
            raise argparse.ArgumentTypeError(f"{text} must be a number{low}{high}")
        return number

    return read


_LONGEST_NAME = 255  # bytes
MOST_SIDE = 65_535
"""The longest side that JPEG can hold; larger images are asked for by mistake."""
side, pixels, count = whole(1, MOST_SIDE), whole(1, 10**12), whole(1, 1_000_000)
share = real(0, 1)


def path(text: str) -> Path:
    """Return the path that an option was given; there must be one."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no path")
    return Path(word(text))


def word(text: str) -> str:
    """Return a name, perhaps of a file: no part of it may be longer than a file's name can be."""
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in Path(text).parts):
        raise argparse.ArgumentTypeError(f"{text[:40]}… is too long for a name")
    return text


def device(text: str) -> str:
    """Return where to compute, if there are such devices at all."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text} must be auto, cpu, cuda, cuda:1 or mps")
    return text


def strengths(text: str) -> tuple[float, ...]:
    """Return numbers from 0 to 1 with commas between them."""
    try:
        numbers = tuple(share(word) for word in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text}: say strengths with commas between them, as in 0,0.5,1") from None
    return numbers


def term_weight(text: str) -> tuple[str, float]:
    """Return the term and the weight of TERM=NUMBER."""
    name, _, number = text.partition("=")
    try:
        return name, real(0)(number)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text}: say TERM=NUMBER, as in style=100") from None


def count_files(files: Sequence[Path]) -> str:
    """Name one file, or the first of several."""
    return str(files[0]) if len(files) == 1 else f"{len(files)} files (first: {files[0]})"
