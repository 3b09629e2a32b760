"""What is known about the files of a folder: their hashes and sizes, and what is wrong with them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_origin

from diptych.errors import DataError, MachineError
from diptych.files import find_cache, hash_file, write_text
from diptych.images import Form, load_image

_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """A file as it was when it was decoded; `problem` is empty for a good one."""

    bytes: int
    modified: int
    sha256: str
    width: int = 0
    height: int = 0
    problem: str = ""
    remarks: tuple[str, ...] = ()


class Index:
    """Entries by file of a folder, kept below the cache folder, so that read-only data can have one too.

    An entry counts for as long as its file's size and time of modification stay.
    """

    def __init__(self, folder: Path, form: Form, cache: Path | None = None) -> None:
        self.folder, self.form = folder.absolute(), form
        words = f"{folder.resolve()} {form.channels} {form.range} {form.max_pixels}"
        name = (
            f"{folder.resolve().name}-{hashlib.sha256(words.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.json"
        )
        self.path = (cache or find_cache()) / "indexes" / name
        self.entries: dict[str, Entry] = {}
        try:
            content = json.loads(self.path.read_text())
            if content["version"] == _VERSION:
                self.entries = {key: _read_entry(words) for key, words in content["files"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass  # absent or damaged: it is made again

    def find(self, path: Path) -> Entry | None:
        """Return what is known about the file as it is now."""
        entry = self.entries.get(self._name(path))
        try:
            status = path.stat()
        except OSError:
            return None
        return entry if entry and (entry.bytes, entry.modified) == (status.st_size, status.st_mtime_ns) else None

    def entry(self, path: Path) -> Entry:
        """Return what was last found out about the file."""
        return self.entries[self._name(path)]

    def check(self, paths: Sequence[Path], advance: Callable[[], None] = lambda: None, again: bool = False) -> None:
        """Decode, in parallel, every file that is not known yet, or every file; then save what was learnt."""
        with ThreadPoolExecutor() as threads:
            entries = threads.map(lambda path: (not again and self.find(path)) or self._decode(path), paths)
            for path, entry in zip(paths, entries, strict=True):
                self.entries[self._name(path)] = entry
                advance()
        text = json.dumps(
            {"version": _VERSION, "folder": str(self.folder), "files": {k: asdict(e) for k, e in self.entries.items()}}
        )
        try:
            write_text(self.path, text)
        except MachineError:  # without an index files are decoded again next time
            return

    def _decode(self, path: Path) -> Entry:
        try:
            status = path.stat()
            digest = hash_file(path) if path.is_file() else ""
        except OSError as error:
            return Entry(0, 0, "", problem=f"{path}: {error.strerror or error}")
        try:
            picture = load_image(path, self.form)
        except DataError as error:
            return Entry(status.st_size, status.st_mtime_ns, digest, problem=str(error))
        except MachineError as error:  # of now, not of the file: it is decoded again next time
            return Entry(0, 0, "", problem=str(error))
        size = (picture.width, picture.height)
        return Entry(status.st_size, status.st_mtime_ns, digest, *size, remarks=picture.remarks)

    def _name(self, path: Path) -> str:
        return str(path.absolute().relative_to(self.folder))


def _read_entry(words: dict[str, Any]) -> Entry:
    """Return an entry from JSON; `TypeError` where a value is of another kind. Texts may hold what UTF-8 may not."""
    entry = Entry(**{**words, "remarks": tuple(words["remarks"])})
    values = [getattr(entry, field.name) for field in fields(Entry)]
    kinds = [get_origin(field.type) or field.type for field in fields(Entry)]
    if [type(value) for value in values] != kinds or not all(isinstance(remark, str) for remark in entry.remarks):
        raise TypeError
    return entry
