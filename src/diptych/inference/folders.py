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
from diptych.inference.controls import FULL, Controls
from diptych.inference.masks import Masks, to_share
from diptych.inference.pipeline import Behind, look_ahead
from diptych.translators import Translator


@dataclass(frozen=True)
class Job:
    """An image to read, the path to write its translation to, and its name below the folder it was found in."""

    source: Path
    target: Path
    name: Path


@dataclass(frozen=True)
class Reading:
    """An image as it was read, and where its translation goes."""

    job: Job
    picture: Picture
    mask: Picture | None


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
            jobs[target] = Job(source, target, relative)
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
    controls: Controls = FULL,
    masks: Masks | None = None,
) -> Outcome:
    """Translate every job; images that cannot be read are named in the outcome, the others are written all the same.

    With `size` the shorter side is brought to that many pixels first and the result keeps that size; with
    `keep_alpha` the transparency that an image had is put back on its translation. Reading and writing go on beside
    the network, which `engine` runs, or torch. What `controls` and `masks` ask of a result is done after it.
    """
    controls.check(translator.input, translator.output, masks is not None)
    if masks:
        masks.refuse_overwriting(job.target for job in jobs)
    outcome = Outcome()
    form = replace(translator.input, max_pixels=max_pixels)
    run = engine or translator
    with ThreadPoolExecutor() as threads:
        writing = Behind(threads, depth=4 * batch_size)
        readings = look_ahead(threads, lambda job: (job, _read(job, form, size, masks)), jobs, depth=2 * batch_size)
        for batch in _batch(_sort_out(readings, outcome, advance), batch_size):
            for reading, image in zip(batch, _translate(run, batch, controls), strict=True):
                alpha = reading.picture.alpha if keep_alpha else None
                writing.do(partial(_write, image, reading.job, translator.output, alpha, advance))
        writing.finish()
    return outcome


def _read(job: Job, form: Form, size: int | None, masks: Masks | None) -> Reading | DataError:
    """Return the job's picture and mask, of one size, or what is wrong with them."""
    try:
        picture = load_image(job.source, form)
        mask = masks.find(job.name) if masks else None
    except DataError as error:
        return error
    picture = picture.scale_shorter_side(size) if size else picture
    return Reading(job, picture, mask and mask.resize(picture.height, picture.width))


def _translate(run: Callable[[Tensor], Tensor], batch: Sequence[Reading], controls: Controls) -> Tensor:
    """Run the network on a batch, and return what is wanted of its results."""
    images = normalise(torch.stack([reading.picture.to_tensor() for reading in batch]))
    masks = [to_share(reading.mask) for reading in batch if reading.mask]
    return controls.apply(images, run(images), torch.stack(masks) if masks else None)


def _write(image: Tensor, job: Job, form: Form, alpha: Image | None, advance: Callable[[Job], None]) -> None:
    write_image(image, job.target, form, alpha)
    advance(job)


def _sort_out(
    readings: Iterable[tuple[Job, Reading | DataError]], outcome: Outcome, advance: Callable[[Job], None]
) -> Iterator[Reading]:
    """Yield what could be read, in order; note down the rest, and the remarks."""
    for job, reading in readings:
        if isinstance(reading, DataError):
            outcome.failures.append(str(reading))
            advance(job)
            continue
        for remark in reading.picture.remarks:
            outcome.remarks.setdefault(remark, []).append(job.source)
        yield reading


def _batch(readings: Iterable[Reading], batch_size: int) -> Iterator[list[Reading]]:
    """Gather neighbours of equal size."""
    batch: list[Reading] = []
    for reading in readings:
        picture, first = reading.picture, (batch or [reading])[0].picture
        if len(batch) == batch_size or (picture.height, picture.width) != (first.height, first.width):
            yield batch
            batch = []
        batch.append(reading)
    if batch:
        yield batch
