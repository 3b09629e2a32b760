"""Which files take part: the folders that a recipe names, without the files that cannot be used."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from diptych.data.domain import HINT
from diptych.data.folders import list_images, require_images
from diptych.data.index import Index
from diptych.errors import DataError, UserError
from diptych.images import Form
from diptych.terminal import make_progress, say

_PATIENCE = 200  # files that are checked without a progress bar
_SHARE, _FEWEST, _MOST = 10, 10, 200  # one image in so many is held out, at least and at most so many


@dataclass
class Selection:
    """The files of a domain's folder, and those left out with the reasons."""

    folder: Path | None
    paths: list[Path]
    skipped: list[tuple[str, str]]


def select_train(root: str | None, path: str | None, letter: str) -> Selection:
    """Return the training images of A or B that the recipe names; there must be some."""
    if path is not None:
        folder, key = Path(path), f"data.path_{letter}"
    elif root is not None:
        folder, key = Path(root, f"train{letter.upper()}"), "data.root"
    else:
        raise UserError("the data are not named: set data.root, or data.path_a and data.path_b")
    return Selection(folder, require_images(folder, key), [])


def select_test(root: str | None, train: str | None, test: str | None, letter: str) -> Selection:
    """Return the test images, of which there may be none unless a folder was named."""
    if test is not None:
        return Selection(Path(test), require_images(Path(test), f"data.test_path_{letter}"), [])
    if train is not None or root is None:
        return Selection(None, [], [])
    folder = Path(root, f"test{letter.upper()}")
    return Selection(folder, list_images(folder), [])


def examine(
    selection: Selection,
    form: Form,
    skip: bool,
    cache: Path | None,
    find_problem: Callable[[int, int], str] | None = None,
) -> None:
    """Take out what cannot be read, or has a problem with its height and width; raise where that is not to be skipped.

    Files that no index knows are decoded only where they are to be skipped: then the length of an epoch depends on it.
    """
    if selection.folder is None:
        return
    index = Index(selection.folder, form, cache)
    if skip:
        check_with_progress(index, selection.paths)
    problems = {}
    for path in selection.paths if index.entries else ():
        entry = index.entry(path) if skip else index.find(path)
        if entry and entry.problem:
            problems[path] = entry.problem
        elif entry and find_problem and (problem := find_problem(entry.height, entry.width)):
            problems[path] = f"{path}: {problem}"
    if problems and not skip:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise DataError(f"{next(iter(problems.values()))}{more} ({HINT})")
    if selection.paths and len(problems) == len(selection.paths):
        raise DataError(f"{selection.folder}: none of its {len(problems)} images can be used; see `diptych data check`")
    selection.skipped = [(str(path), reason) for path, reason in problems.items()]
    selection.paths = [path for path in selection.paths if path not in problems]


def check_with_progress(index: Index, paths: list[Path], again: bool = False) -> None:
    """Decode what is not known yet, with a bar where that takes a while."""
    if len(paths) < _PATIENCE:
        index.check(paths, again=again)
        return
    with make_progress(transient=True) as progress:
        task = progress.add_task(f"checking {index.folder.name}", total=len(paths))
        index.check(paths, lambda: progress.advance(task), again)


def keep_pairs(selections: dict[str, Selection]) -> None:
    """Leave out images of A and B that have no partner of the same name, and bring both into one order."""
    both = {path.stem for path in selections["a"].paths} & {path.stem for path in selections["b"].paths}
    for selection in selections.values():
        selection.paths = sorted((path for path in selection.paths if path.stem in both), key=lambda path: path.stem)


def hold_out(selections: dict[str, Selection]) -> dict[str, list[Path]]:
    """Take a tenth of each domain's images out, at most 200, and return them; none where ten are more than that.

    Which they are depends on files' names alone: it is the same for every seed, and partners stay together.
    """
    count = min(len(selection.paths) for selection in selections.values()) // _SHARE
    if count < _FEWEST:
        say(f"no validation: {count} of ten times as many training images would be too few; {_FEWEST} are needed")
        return {domain: [] for domain in selections}
    held = {}
    for domain, selection in selections.items():
        drawn = sorted(selection.paths, key=lambda path: sha256(path.stem.encode("utf-8", "surrogateescape")).digest())
        chosen = set(drawn[: min(_MOST, len(selection.paths) // _SHARE)])
        held[domain] = [path for path in selection.paths if path in chosen]
        selection.paths = [path for path in selection.paths if path not in chosen]
    return held
