"""The jobs of a sweep: one that fails does not end the others, and a table says at last how each went."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Column, Table

from diptych.terminal import show

_STOPPED = 128  # exit codes above are of signals, which stop the whole sweep


@dataclass
class SweptRun:
    """A run of a sweep: its folder, what is its own of the overrides, its exit code and the metric it was asked for."""

    folder: Path = field(default_factory=Path)
    code: int = 0
    metric: float | None = None


class Sweep:
    """Collects the jobs of `-m`; without it there is one, of which nothing more is said."""

    def __init__(self) -> None:
        self.jobs: list[SweptRun] = []

    @contextmanager
    def job(self, swept: bool) -> Iterator[SweptRun]:
        """Give a job to fill in; the exit of one among several is noted and goes no further, but for a signal's."""
        job = SweptRun()
        try:
            yield job
        except SystemExit as stop:
            job.code = stop.code if isinstance(stop.code, int) else 1
            if not swept or job.code > _STOPPED:
                raise
        finally:
            self.jobs += [job] if swept else []

    def finish(self) -> int:
        """Print the table of the sweep that has come to its end, and return the largest of its jobs' exit codes."""
        if self.jobs:
            show(self.to_table())
        jobs, self.jobs = self.jobs, []
        return max((job.code for job in jobs), default=0)

    def to_table(self) -> Table:
        """Return a row for each job: its folder, whose name are its overrides, how it ended, and the metric."""
        table = Table(
            Column("job", no_wrap=True), "ended", "metric", title=str(self.jobs[0].folder.parent), title_justify="left"
        )
        for job in self.jobs:
            ended = "well" if job.code == 0 else f"with exit code {job.code}"
            metric = "–" if job.metric is None else f"{job.metric:.4g}"
            table.add_row(job.folder.name, ended, metric)
        return table
