"""Which files are read and which are written: names kept, nothing overwritten that is read."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diptych.data import list_images
from diptych.errors import DataError, UserError
from diptych.images import PICTURE, Form, choose_suffix


@dataclass(frozen=True)
class Job:
    """An image to read, the path to write its translation to, its name below the folder it was found in.

    `steps` is the folder for images on the way.
    """

    source: Path
    target: Path
    name: Path
    steps: Path


def plan(
    inputs: Sequence[Path],
    out: Path,
    form: Form = PICTURE,
    keep_alpha: bool = False,
    grid: bool = False,
    steps: bool = False,
    protected: Iterable[Path] = (),
) -> list[Job]:
    """Return the jobs for files and folders (searched recursively).

    Names are kept, with another suffix where such a file cannot hold what the form says, or transparency; a grid's
    ends with `-grid.png`; with `steps` there are images on the way. `UserError` where two would write one file, or one
    would overwrite an input or what is `protected`.
    """
    sources: dict[Path, tuple[Path, Path]] = {}
    for item in inputs:
        for source in list_sources(item):
            name = source.relative_to(item) if item.is_dir() else Path(source.name)
            suffix = choose_suffix(source.suffix, form, keep_alpha)
            target = out / (name if suffix == source.suffix else name.with_name(f"{name.name}{suffix}"))
            if target in sources and sources[target][0] != source:
                raise UserError(f"{target} would be written from both {sources[target][0]} and {source}")
            sources[target] = source, name
    stems = Counter(target.with_suffix("") for target in sources)
    jobs = []
    for target, (source, name) in sources.items():
        stem = target.with_suffix("") if stems[target.with_suffix("")] == 1 else target  # a.jpg beside a.png
        written = stem.with_name(f"{stem.name}-grid.png") if grid else target
        jobs.append(Job(source, written, name, stem.with_name(f"{stem.name}-steps")))
    _refuse_overwriting(jobs, out, steps, [*protected, *(job.source for job in jobs)])
    return jobs


def list_sources(item: Path) -> list[Path]:
    """Return a file, or the images of a folder; `DataError` where there are none."""
    if item.is_dir():
        images = list_images(item)
        if not images:
            raise DataError(f"{item}: no images in this folder")
        return images
    if not item.exists() and not item.is_symlink():
        raise DataError(f"{item}: no such file or folder")
    return [item]


def _refuse_overwriting(jobs: Sequence[Job], out: Path, steps: bool, read: Sequence[Path]) -> None:
    own = {os.path.realpath(path) for path in read}
    folders = {os.path.realpath(path.parent) for path in read} if steps else set()
    for job in jobs:
        for place, taken in ((job.target, own), (job.steps, folders)):
            if os.path.realpath(place) in taken:
                raise UserError(f"--out {out}: {place} is read and would be overwritten; choose another folder")
