"""Translating files and folders to files: names and sizes kept, several images at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diptych.data import list_images
from diptych.errors import DataError, UserError
from diptych.images import normalise, read_image, resize, to_uint8_tensor, write_image
from diptych.translator import Translator


@dataclass(frozen=True)
class Job:
    """An image to read and the path to write its translation to."""

    source: Path
    target: Path


def plan(inputs: Sequence[Path], out: Path) -> list[Job]:
    """Return the jobs for files and folders (searched recursively); raise where two would write one file."""
    jobs: dict[Path, Job] = {}
    for item in inputs:
        for source in _list_sources(item):
            relative = source.relative_to(item) if item.is_dir() else Path(source.name)
            target = out / relative
            if target in jobs and jobs[target].source != source:
                raise UserError(f"{target} would be written from both {jobs[target].source} and {source}")
            if target.resolve() == source.resolve():
                raise UserError(f"--out {out}: {source} would be overwritten; choose another folder")
            jobs[target] = Job(source, target)
    return list(jobs.values())


def _list_sources(item: Path) -> list[Path]:
    if item.is_dir():
        images = list_images(item)
        if not images:
            raise DataError(f"{item}: no images in this folder")
        return images
    if not item.exists():
        raise DataError(f"{item}: no such file or folder")
    return [item]


def translate_files(
    translator: Translator,
    jobs: Sequence[Job],
    batch_size: int = 4,
    size: int | None = None,
    advance: Callable[[Job], None] = lambda job: None,
) -> list[str]:
    """Translate every job; return one line per image that could not be read, the others are written all the same.

    With `size` the shorter side is brought to that many pixels first and the result keeps that size.
    """
    failures: list[str] = []
    for batch in _batch(_read(jobs, size, failures, advance), batch_size):
        outputs = translator(normalise(torch.stack([pixels for _, pixels in batch])))
        for (job, _), image in zip(batch, outputs, strict=True):
            write_image(image, job.target)
            advance(job)
    return failures


def _read(
    jobs: Iterable[Job], size: int | None, failures: list[str], advance: Callable[[Job], None]
) -> Iterator[tuple[Job, Tensor]]:
    """Yield each job's image as 3×H×W uint8, in order; note down those that cannot be read."""
    for job in jobs:
        try:
            image = read_image(job.source)
        except DataError as error:
            failures.append(str(error))
            advance(job)
            continue
        if size:
            shorter = min(image.size)
            height, width = (max(1, round(side * size / shorter)) for side in (image.height, image.width))
            image = resize(image, (height, width))
        yield job, to_uint8_tensor(image)


def _batch(items: Iterable[tuple[Job, Tensor]], batch_size: int) -> Iterator[list[tuple[Job, Tensor]]]:
    """Gather neighbours of equal size."""
    batch: list[tuple[Job, Tensor]] = []
    for item in items:
        if batch and (len(batch) == batch_size or item[1].shape != batch[0][1].shape):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
