"""Bringing a public data set to where it is wanted: fetched, verified, unpacked, once, whoever asks."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pooch
from filelock import FileLock, Timeout
from rich.filesize import decimal

from diptych.data.archive import extract
from diptych.data.catalogue import PublicSet, find_dataset, is_present
from diptych.data.download import download
from diptych.data.folders import list_images
from diptych.data.hugging_face import PREFIXES, export_dataset
from diptych.data.staging import stage_folder, write_note
from diptych.errors import DataError, MachineError
from diptych.terminal import complain, show_status

MIRROR = "DIPTYCH_MIRROR"  # a base address that is tried before the owners'


def install_dataset(name: str, root: Path, columns: Sequence[str] | None = None, paired: bool = False) -> bool:
    """Make the folder `root` with trainA trainB testA testB of a public set, unless something is in it already.

    `name` is one of the catalogue, or hf:OWNER/NAME, or parquet:PATH; `columns` and `paired` are for the latter two,
    see `export_dataset`. Whoever comes while another process is at it waits. Returns whether anything was fetched.
    """
    root = root.resolve() if root.is_symlink() else root
    if is_present(root):
        return False
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: is a file; data need a folder")
    public = None if name.startswith(PREFIXES) else find_dataset(name)
    with _wait_for_turn(root):
        if is_present(root):
            return False
        if public is None:
            export_dataset(name, root, columns, paired)
        else:
            DatasetInstaller(public, root).install()
    return True


@contextmanager
def _wait_for_turn(root: Path) -> Iterator[None]:
    lock = FileLock(root.parent / f".{root.name}.lock")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        complain(f"another process is obtaining these data ({lock.lock_file} is locked); waiting for it")
        lock.acquire()
    except OSError as error:
        raise MachineError(f"{error.filename or root}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held: whoever waits for it looks whether it is still there
            Path(lock.lock_file).unlink()
        lock.release()


class DatasetInstaller:
    """Brings a set of the catalogue; an archive put beside its folder by hand is used instead of the network."""

    def __init__(self, public: PublicSet, root: Path) -> None:
        self.public, self.root = public, root
        self.by_hand = root.parent / public.archive
        mirror = os.environ.get(MIRROR, "").rstrip("/")
        self.urls = ([f"{mirror}/{quote(public.archive)}"] if mirror else []) + [*public.addresses]

    def install(self) -> None:
        """Fetch, verify, unpack, and say what came of it."""
        if not self.urls and not self.by_hand.exists():
            raise DataError(
                f"{self.public.name} cannot be downloaded from here: {self.public.advice} ({self.public.page}); "
                f"what is put into {self.root}, or packed as {self.by_hand}, is used"
            )
        with stage_folder(self.root) as staged:
            try:
                archive, origin = self._check_by_hand() if self.by_hand.exists() else self._fetch(staged)
                with show_status(f"unpacking {archive.name}", stderr=True):
                    extract(archive, staged, self.public.place)
            except DataError as error:
                raise DataError(f"{error}; put the right file at {self.by_hand} by hand and run again") from error
            write_note(staged, name=self.public.name, address=origin, sha256=pooch.file_hash(str(archive)))
            (staged / archive.name).unlink(missing_ok=True)
        self._compare_counts()

    def _check_by_hand(self) -> tuple[Path, str]:
        found = pooch.file_hash(str(self.by_hand))
        if self.public.sha256 not in (None, found):
            raise DataError(f"{self.by_hand}: its SHA-256 is {found}, not {self.public.sha256} as published")
        complain(f"{self.public.name}: using {self.by_hand}, which is there already")
        return self.by_hand, "put there by hand"

    def _fetch(self, staged: Path) -> tuple[Path, str]:
        public, archive = self.public, staged / self.public.archive
        size = decimal(public.size) if public.size else "unknown size"
        complain(f"{public.name} ({public.title}): {size} from {self.urls[0]} to {self.root}; data of: {public.owner}")
        return archive, download(self.urls, archive, public.sha256)

    def _compare_counts(self) -> None:
        told = []
        for folder in self.public.folders:
            found, published = len(list_images(self.root / folder)), self.public.counts.get(folder)
            told.append(f"{found} in {folder}" + ("" if published in (None, found) else f" (published: {published})"))
        complain(f"{self.root}: {', '.join(told)}")
