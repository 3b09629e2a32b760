"""Translating files and folders to files: names and sizes kept, several images at a time."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from diptych.data import list_images
from diptych.errors import DataError, UserError
from diptych.images import PICTURE, Form, Picture, choose_suffix, load_image, normalise, write_image
from diptych.images.form import MAX_PIXELS
from diptych.inference.pipeline import Behind, look_ahead
from diptych.translator import Translator


@dataclass(frozen=True)
class Job:
    """An image to read and the path to write its translation to."""

    source: Path
    target: Path


@dataclass
class Outcome:
    """What a user should hear: a line per image that could not be read, and remarks with the files they concern."""

    failures: list[str] = field(default_factory=list)
    remarks: dict[str, list[Path]] = field(default_factory=dict)


def plan(inputs: Sequence[Path], out: Path, form: Form = PICTURE, keep_alpha: bool = False) -> list[Job]:
    """Return the jobs for files and folders (searched recursively); raise where two would write one file.

    Names are kept, with another suffix where such a file cannot hold what the form says, or transparency.
    """
    jobs: dict[Path, Job] = {}
    for item in inputs:
        for source in list_sources(item):
            relative = source.relative_to(item) if item.is_dir() else Path(source.name)
            suffix = choose_suffix(source.suffix, form, keep_alpha)
            target = out / (relative if suffix == source.suffix else relative.with_name(f"{relative.name}{suffix}"))
            if target in jobs and jobs[target].source != source:
                raise UserError(f"{target} would be written from both {jobs[target].source} and {source}")
            if os.path.realpath(target) == os.path.realpath(source):
                raise UserError(f"--out {out}: {source} would be overwritten; choose another folder")
            jobs[target] = Job(source, target)
    return list(jobs.values())


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


def translate_files(
    translator: Translator,
    jobs: Sequence[Job],
    batch_size: int = 4,
    size: int | None = None,
    advance: Callable[[Job], None] = lambda job: None,
    keep_alpha: bool = False,
    max_pixels: int = MAX_PIXELS,
    engine: Callable[[Tensor], Tensor] | None = None,
) -> Outcome:
    """Translate every job; images that cannot be read are named in the outcome, the others are written all the same.

    With `size` the shorter side is brought to that many pixels first and the result keeps that size; with
    `keep_alpha` the transparency that an image had is put back on its translation. Reading and writing go on beside
    the network, which `engine` runs, or torch.
    """
    outcome = Outcome()
    form = replace(translator.input, max_pixels=max_pixels)
    run = engine or translator
    with ThreadPoolExecutor() as threads:
        writing = Behind(threads, depth=4 * batch_size)
        readings = look_ahead(threads, lambda job: (job, _read(job, form, size)), jobs, depth=2 * batch_size)
        for batch in _batch(_sort_out(readings, outcome, advance), batch_size):
            outputs = run(normalise(torch.stack([picture.to_tensor() for _, picture in batch])))
            for (job, picture), image in zip(batch, outputs, strict=True):
                alpha = picture.alpha if keep_alpha else None
                writing.do(partial(_write, image, job, translator.output, alpha, advance))
        writing.finish()
    return outcome


def _read(job: Job, form: Form, size: int | None) -> Picture | DataError:
    """Return the job's picture, or what is wrong with it."""
    try:
        picture = load_image(job.source, form)
    except DataError as error:
        return error
    return picture.scale_shorter_side(size) if size else picture


def _write(image: Tensor, job: Job, form: Form, alpha: Image | None, advance: Callable[[Job], None]) -> None:
    write_image(image, job.target, form, alpha)
    advance(job)


def _sort_out(
    readings: Iterable[tuple[Job, Picture | DataError]], outcome: Outcome, advance: Callable[[Job], None]
) -> Iterator[tuple[Job, Picture]]:
    """Yield what could be read, in order; note down the rest, and the remarks."""
    for job, picture in readings:
        if isinstance(picture, DataError):
            outcome.failures.append(str(picture))
            advance(job)
            continue
        for remark in picture.remarks:
            outcome.remarks.setdefault(remark, []).append(job.source)
        yield job, picture


def _batch(items: Iterable[tuple[Job, Picture]], batch_size: int) -> Iterator[list[tuple[Job, Picture]]]:
    """Gather neighbours of equal size."""
    batch: list[tuple[Job, Picture]] = []
    for job, picture in items:
        first = batch[0][1] if batch else picture
        if len(batch) == batch_size or (picture.height, picture.width) != (first.height, first.width):
            yield batch
            batch = []
        batch.append((job, picture))
    if batch:
        yield batch
