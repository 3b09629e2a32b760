"""One file from the first address that gives it: resumed where it broke off, checked, whole or not there at all."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from diptych.data.transfer import (
    LastingError,
    OutOfRangeError,
    PassingError,
    check_head,
    continues,
    describe,
    name_version,
    read_body,
    request,
)
from diptych.errors import DataError, MachineError

_SPARE = 2**26  # bytes of the disk that are left alone
_LONGEST_PAUSE = 30.0  # seconds


@dataclass(frozen=True)
class Downloaded:
    """Where a file came from, and what it is."""

    address: str
    sha256: str
    size: int


@dataclass(frozen=True)
class _Manner:
    limit: int
    timeout: float
    attempts: int
    sleep: Callable[[float], None]
    report: Callable[[int, int | None], None]
    say: Callable[[str], None]


class _Part:
    """What has arrived so far, beside a note that says which version of which file it belongs to."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def address(self) -> str | None:
        return self._read_note().get("address")

    def _read_note(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            note = json.loads(self._note.read_text())
            if isinstance(note, dict):
                return note
        return {}

    def resume(self, address: str) -> tuple[int, str | None, int | None]:
        """Return how many bytes to keep, what the server called the version they are of, and its whole size."""
        note = self._read_note()
        if note.get("address") != address or not note.get("version"):
            return 0, None, None  # nothing could tell us that the rest belongs to the same file
        return self.size, note["version"], note.get("total")

    @contextmanager
    def receive(self, address: str, version: str | None, total: int | None, start: int) -> Iterator[IO[bytes]]:
        """Open the file for what follows the first `start` bytes; keep it unless the server has shown itself wrong."""
        try:
            self._note.unlink(missing_ok=True)  # the note must never speak of other bytes than those in the file
            with self.path.open("ab" if start else "wb") as file:
                self._note.write_text(json.dumps({"address": address, "version": version, "total": total}))
                yield file
        except LastingError:
            self.discard()
            raise
        except OSError as error:  # the disk's, for those of the network have become errors of ours
            told = describe(error)
            raise MachineError(f"{self.path}: {told}; what has arrived is kept for the next run") from error

    def discard(self) -> None:
        """Forget what has arrived."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Give the whole file its name."""
        try:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self.path.replace(target)
        except OSError as error:
            raise MachineError(f"{target}: {describe(error)}; the whole file is at {self.path}") from error
        self._note.unlink(missing_ok=True)


def download(
    addresses: Sequence[str],
    target: Path,
    sha256: str | None = None,
    *,
    limit: int = 20 * 2**30,
    timeout: float = 30.0,
    attempts: int = 4,
    sleep: Callable[[float], None] = time.sleep,
    report: Callable[[int, int | None], None] = lambda received, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> Downloaded:
    """Fetch `target` from the first address that gives a file of this hash, or say in one line why none did.

    `attempts` are those in a row without a new byte; `report` is told the bytes received and how many there will be.
    What has arrived stays in `target`.part, and is continued if the server still has the same version of the file.
    """
    part = _Part(target)
    manner = _Manner(limit, timeout, attempts, sleep, report, say)
    reasons = []
    for address in sorted(addresses, key=lambda address: address != part.address):
        try:
            _persist(address, part, manner)
            found = _check_hash(part, sha256)
        except LastingError as error:
            reasons.append(f"{address}: {error}")
            say(reasons[-1])
            continue
        size = part.size
        part.finish(target)
        return Downloaded(address, found, size)
    told = "; ".join(reasons) or "no address is known for it"
    raise DataError(f"{target.name} could not be downloaded ({told}); put the file at {target} by hand and run again")


def compute_sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(part: _Part, expected: str | None) -> str:
    found = compute_sha256(part.path)
    if expected is not None and found != expected:
        part.discard()
        raise LastingError(f"what it serves has the SHA-256 {found}, not {expected}")
    return found


def _persist(address: str, part: _Part, manner: _Manner) -> None:
    failures, furthest = 0, part.size
    while True:
        try:
            return _fetch(address, part, manner)
        except PassingError as error:
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures >= manner.attempts:
                raise LastingError(f"{error} (tried {failures} times)") from error
            manner.say(f"{address}: {error}; trying again")
            manner.sleep(min(2.0 ** (failures - 1), _LONGEST_PAUSE))


def _fetch(address: str, part: _Part, manner: _Manner) -> None:
    start, version, total = part.resume(address)
    if start and start == total:
        return
    try:
        response = request(address, start, version, manner.timeout)
    except OutOfRangeError:
        part.discard()
        raise
    with response:
        if response.status == 206 and not continues(response, start, version):
            part.discard()
            raise PassingError("the file there has changed meanwhile")
        start = start if response.status == 206 else 0
        promised = response.length  # the body's, and unknown if it comes in chunks
        total = None if promised is None else start + promised
        _check_limit(total or 0, manner.limit)
        _check_space(part.path.parent, promised or 0)
        with part.receive(address, name_version(response), total, start) as file:
            received = start
            for chunk in read_body(response, promised):
                if received == 0:
                    check_head(chunk)
                received += len(chunk)
                _check_limit(received, manner.limit)
                file.write(chunk)
                manner.report(received, total)
            if received == 0:
                raise LastingError("it serves an empty file")


def _check_limit(size: int, limit: int) -> None:
    if size > limit:
        raise LastingError(f"it is larger than the {limit} bytes that are allowed")


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise MachineError(f"{folder}: {needed} bytes are to come and {free} are free; make room and run again")
