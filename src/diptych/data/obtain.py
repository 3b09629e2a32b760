"""Bringing a public data set to where it is wanted: fetched, verified, unpacked, once, whoever asks."""

import difflib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from filelock import FileLock, Timeout
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from diptych.data.archive import Place, Report, extract
from diptych.data.catalogue import CATALOGUE, FOLDERS, PublicSet
from diptych.data.download import Downloaded, compute_sha256, download
from diptych.data.folders import list_images
from diptych.data.hugging_face import PREFIXES, export
from diptych.errors import DataError, MachineError

SOURCE = ".diptych-source.json"
HASHES = ".diptych-hashes.json"
MIRROR = "DIPTYCH_MIRROR"  # a base address that is tried before the owners'


def obtain(name: str, root: Path, columns: Sequence[str] | None = None, paired: bool = False) -> None:
    """Make the folder `root` with trainA trainB testA testB of a public set, unless something is in it already.

    `name` is one of the catalogue, or hf:OWNER/NAME, or parquet:PATH. Whoever comes while another process is at it
    waits. An archive put beside `root` by hand is used instead of the network. `columns` and `paired` are for the
    latter two sources: see `hugging_face.export`.
    """
    root = root.resolve() if root.is_symlink() else root
    if _is_filled(root):
        return
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: is a file; data need a folder")
    foreign = name.startswith(PREFIXES)
    public = None if foreign else find(name)
    with _wait_for_turn(root.parent / f".{public.archive if public else root.name}.lock"):
        if _is_filled(root):
            return
        if public is None:
            export(name, root, columns, paired)
        else:
            _Errand(public, root).run()


def find(name: str) -> PublicSet:
    """Return the catalogue's entry, or name the nearest one."""
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        guess = f"; did you mean {near[0]}?" if near else ";"
        raise DataError(f"{name!r} is no data set that is known here{guess} see `diptych data list`")
    return CATALOGUE[name]


def to_table(folder: Path = Path("datasets")) -> Table:
    """Return the catalogue as a table that says which sets are present below a folder."""
    table = Table("name", "A, B", "images to train, to test", "download", "owner", str(folder))
    for public in CATALOGUE.values():
        numbers = [str(public.counts.get(key, "?")) if key in public.folders else "0" for key in FOLDERS]
        images = f"{numbers[0]} + {numbers[1]}, {numbers[2]} + {numbers[3]}"
        size = decimal(public.size) if public.size else "?" if public.addresses else "by hand"
        present = "present" if _is_filled(folder / public.name) else ""
        table.add_row(public.name, public.title, images, size, public.owner, present)
    return table


def _is_filled(root: Path) -> bool:
    return root.is_dir() and any(root.iterdir())


@contextmanager
def _wait_for_turn(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _say(f"another process is obtaining these data ({path} is locked); waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        raise MachineError(f"{error.filename or path}: {error.strerror or error}") from error


def _say(line: str) -> None:
    Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(line)


@contextmanager
def _show(what: str) -> Iterator[Report]:
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Errand:
    """What is to be brought where."""

    def __init__(self, public: PublicSet, root: Path) -> None:
        self.public, self.root = public, root
        self.archive = root.parent / public.archive
        self.hashes = root.parent / HASHES

    def run(self) -> None:
        """Fetch, verify, unpack, and say what came of it."""
        found = self._take_by_hand() if self.archive.exists() else self._fetch()
        self._compare_hash(found)
        self._unpack(by_hand=not found.address)
        self._remember(found)
        if found.address:
            self.archive.unlink(missing_ok=True)
        self._count()

    def _take_by_hand(self) -> Downloaded:
        _say(f"{self.public.name}: using {self.archive}, which is there already")
        return Downloaded("", compute_sha256(self.archive), self.archive.stat().st_size)

    def _fetch(self) -> Downloaded:
        public = self.public
        mirror = os.environ.get(MIRROR, "").rstrip("/")
        addresses = [f"{mirror}/{quote(public.archive)}"] if mirror else []
        addresses += public.addresses
        if not addresses:
            raise DataError(
                f"{public.name} cannot be downloaded from here: {public.advice} ({public.page}); "
                f"what is put into {self.root}, or packed as {self.archive}, is used"
            )
        size = decimal(public.size) if public.size else "unknown size"
        _say(f"{public.name} ({public.title}): {size} from {addresses[0]} to {self.root}; data of: {public.owner}")
        with _show(public.archive) as report:
            return download(addresses, self.archive, public.sha256, report=report, say=_say)

    def _compare_hash(self, found: Downloaded) -> None:
        if self.public.sha256 and found.sha256 != self.public.sha256:
            raise DataError(
                f"{self.archive}: its SHA-256 is {found.sha256}, not {self.public.sha256} as published; "
                "delete it, and run again to fetch it anew"
            )
        known = _read_hashes(self.hashes).get(self.public.archive)
        if not self.public.sha256 and known and known != found.sha256:
            raise DataError(
                f"{self.archive}: its SHA-256 is {found.sha256}, and last time it was {known}; "
                f"delete {self.hashes} to accept the new file, or the new file to fetch it again"
            )

    def _unpack(self, by_hand: bool) -> None:
        try:
            with _show(f"unpacking {self.public.archive}") as report:
                extract(self.archive, self.root, place=_place_in(self.public), report=report)
        except DataError as error:
            if by_hand:
                raise DataError(f"{error}; put another there, or delete it and run again") from error
            self.archive.unlink(missing_ok=True)  # or the next run would take it up again
            raise DataError(f"{error}; it has been deleted, run again to fetch it anew") from error

    def _remember(self, found: Downloaded) -> None:
        note = {
            "name": self.public.name,
            "address": found.address or "put there by hand",
            "sha256": found.sha256,
            "bytes": found.size,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (self.root / SOURCE).write_text(json.dumps(note, indent=2) + "\n")
        if self.public.sha256 is None:
            with FileLock(self.hashes.with_suffix(".lock")):
                known = _read_hashes(self.hashes) | {self.public.archive: found.sha256}
                self.hashes.write_text(json.dumps(known, indent=2) + "\n")

    def _count(self) -> None:
        counted = {folder: len(list_images(self.root / folder)) for folder in self.public.folders}
        told = ", ".join(f"{number} in {folder}" for folder, number in counted.items())
        odd = [
            f"{expected} were expected in {folder}"
            for folder, expected in self.public.counts.items()
            if counted.get(folder) != expected
        ]
        _say(f"{self.root}: {told}" + (f"; but {', '.join(odd)}" if odd else ""))


def _read_hashes(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it") from error


def _place_in(public: PublicSet) -> Place:
    """Return where a member goes: the archive's folder may lie at any depth."""
    wanted = [(folder, PurePosixPath(inside).parts) for folder, inside in public.folders.items()]

    def place(path: PurePosixPath) -> PurePosixPath | None:
        parts = path.parts
        for start in range(len(parts)):
            for folder, inside in wanted:
                if parts[start : start + len(inside)] == inside and len(parts) > start + len(inside):
                    return PurePosixPath(folder, *parts[start + len(inside) :])
        return None

    return place
