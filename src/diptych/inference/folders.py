"""Files and folders through a translator: read ahead, several at a time, written behind, failures by file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from diptych.errors import DataError, MachineError, UserError, is_exhaustion
from diptych.images import Form, Picture, choose_suffix, draw_grid, load_image, normalise, write_image
from diptych.images.decoding import explained_decoding
from diptych.images.numbers import check_pixels
from diptych.inference.masks import to_share
from diptych.inference.pipeline import Behind, look_ahead
from diptych.inference.planning import Job
from diptych.inference.settings import Settings
from diptych.translators import Progress, Translator

Advance = Callable[[Job], None]
Watch = Callable[[Job, Progress], None]
_SAVING = "--size takes less"


@dataclass(frozen=True)
class Reading:
    """An image as it was read, its mask, and where its translation goes."""

    job: Job
    picture: Picture
    mask: Picture | None


@dataclass
class Outcome:
    """What a user should hear: what became of each image that failed, and remarks with the files they concern."""

    failures: list[UserError] = field(default_factory=list)
    remarks: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The gravest failure's: the machine's before the data's."""
        return max((failure.exit_code for failure in self.failures), default=0)


def translate_files(
    translator: Translator,
    jobs: Sequence[Job],
    settings: Settings | None = None,
    advance: Advance = lambda job: None,
    watch: Watch = lambda job, progress: None,
    device: torch.device | None = None,
) -> Outcome:
    """Translate every job; images that cannot be used are named in the outcome, the others are written all the same.

    `advance` is called, perhaps by another thread, when a job is done or has failed; `watch` after each step of the
    first image of a batch. Reading and writing go on beside the translator, which gets its images on `device`.
    """
    settings = settings or Settings()
    settings.check(translator)
    with ThreadPoolExecutor() as threads:
        work = _Work(translator, settings, advance, watch, device or torch.device("cpu"), threads)
        work.run(jobs)
    return work.outcome


class _Work:
    """The translation of many files, and what has become of it."""

    def __init__(
        self,
        translator: Translator,
        settings: Settings,
        advance: Advance,
        watch: Watch,
        device: torch.device,
        threads: ThreadPoolExecutor,
    ) -> None:
        self.translator, self.settings, self.advance, self.watch = translator, settings, advance, watch
        self.device, self.threads, self.outcome = device, threads, Outcome()
        self.batch_size = settings.choose_batch_size(translator)
        self.writing = Behind(threads, depth=4 * self.batch_size)

    def run(self, jobs: Sequence[Job]) -> None:
        form = replace(self.translator.input, max_pixels=self.settings.max_pixels)
        read = partial(_read, form=form, settings=self.settings)
        readings = look_ahead(self.threads, lambda job: (job, read(job)), jobs, depth=2 * self.batch_size)
        for batch in _batch(self._sort_out(readings), self.batch_size):
            if not self._attempt(batch, last=len(batch) == 1):
                for reading in batch:  # one by one they take less memory
                    self._attempt([reading])
        self.writing.finish()

    def _attempt(self, batch: Sequence[Reading], last: bool = True) -> bool:
        """Translate images of one size and have them written, or note down why not.

        Returns False where there is not enough memory for so many and nothing was noted down, as it is not the `last`
        attempt.
        """
        try:
            images = self._draw(batch[0]) if self.settings.strengths else self._translate(batch)
        except DataError as error:  # of this size, for instance
            for reading in batch:
                self._fail(reading.job, DataError(f"{reading.job.source}: {error}"))
            return True
        except Exception as error:
            if not is_exhaustion(error):
                raise
            if last:
                self._run_short(batch[0])
            return last
        for reading, image in zip(batch, images, strict=True):
            self.writing.do(partial(self._write, image, reading))
        return True

    def _sort_out(self, readings: Iterable[tuple[Job, Reading | UserError]]) -> Iterator[Reading]:
        """Yield what could be read, in order; note down the rest, and the remarks."""
        for job, reading in readings:
            if isinstance(reading, UserError):
                self._fail(job, reading)
                continue
            for remark in reading.picture.remarks:
                self.outcome.remarks.setdefault(remark, []).append(job.source)
            yield reading

    def _fail(self, job: Job, failure: UserError) -> None:
        self.outcome.failures.append(failure)
        self.advance(job)

    def _run_short(self, reading: Reading) -> None:
        """Note down that the memory does not suffice for an image."""
        size = f"{reading.picture.width}×{reading.picture.height}"
        self._fail(reading.job, MachineError(f"{reading.job.source}: not enough memory for {size} pixels; {_SAVING}"))

    def _translate(self, batch: Sequence[Reading]) -> Tensor:
        """Return the results of images of one size."""
        settings, content, mask = self.settings, self._stack(batch), _stack_masks(batch)
        return settings.controls.translate(
            self.translator,
            content,
            settings.styles.prepare(content) if settings.styles else None,
            seed=settings.seed,
            steps=settings.steps,
            mask=mask,
            watch=partial(self._observe, [reading.job for reading in batch]),
        )

    def _draw(self, reading: Reading) -> list[Image]:
        """Draw a row for each style, with its image where it has one, and a column for each strength."""
        settings, content, rows = self.settings, self._stack([reading]), []
        assert settings.styles is not None
        for style in settings.styles.prepare(content):
            results = settings.controls.translate_at(
                settings.strengths,
                self.translator,
                content,
                (style,),
                seed=settings.seed,
                steps=settings.steps,
                mask=_stack_masks([reading]),
                watch=partial(self._observe, [reading.job]),
            )
            rows.append(torch.stack(results).cpu())
        columns = [(f"{s:g}", column) for s, column in zip(settings.strengths, torch.cat(rows, 1), strict=True)]
        pictures = [p.resize(*content.shape[-2:]) for p in settings.styles.pictures if p]
        if len(pictures) == len(rows):
            columns.insert(0, ("style", normalise(torch.stack([picture.to_tensor() for picture in pictures]))))
        return [draw_grid(columns)]

    def _observe(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Let a step be watched, and keep its images where they are wanted."""
        self.watch(jobs[0], progress)
        if self.settings.every and progress.step % self.settings.every == 0:
            form = self.translator.output
            name = f"{progress.step:05d}{choose_suffix('.png', form)}"
            for job, image in zip(jobs, progress.image, strict=True):
                self.writing.do(partial(write_image, image, job.steps / name, form))

    def _stack(self, batch: Sequence[Reading]) -> Tensor:
        pictures = torch.stack([reading.picture.to_tensor() for reading in batch])
        return normalise(pictures.to(self.device))

    def _write(self, image: Tensor | Image, reading: Reading) -> None:
        alpha = reading.picture.alpha if self.settings.keep_alpha and not self.settings.strengths else None
        try:
            write_image(image, reading.job.target, self.translator.output, alpha)
        except Exception as error:
            if not is_exhaustion(error):
                raise
            self._run_short(reading)
        else:
            self.advance(reading.job)


def _read(job: Job, form: Form, settings: Settings) -> Reading | UserError:
    """Return the job's picture and mask, of one size, or what is wrong with them."""
    try:
        with explained_decoding(job.source):
            picture = load_image(job.source, form)
            mask = settings.masks.find(job.name) if settings.masks else None
            if settings.size:
                check_pixels(f"{job.source} at --size {settings.size}", picture.measure_scaled(settings.size), form)
                picture = picture.scale_shorter_side(settings.size)
            return Reading(job, picture, mask and mask.resize(picture.height, picture.width))
    except (DataError, MachineError) as error:
        return error


def _stack_masks(batch: Sequence[Reading]) -> Tensor | None:
    masks = [to_share(reading.mask) for reading in batch if reading.mask]
    return torch.stack(masks) if masks else None


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
