"""What is to be said about a data set's files: how many, how large, which are bad, which stand in two places."""

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from diptych.data.folders import list_images
from diptych.data.index import Entry, Index
from diptych.data.selection import check_with_progress
from diptych.errors import DataError
from diptych.images import Form

_PARTS = ("trainA", "trainB", "testA", "testB")


@dataclass(frozen=True)
class Report:
    """Entries by file and folder; all is worked out from them."""

    entries: dict[Path, dict[Path, Entry]]
    indexes: list[Index]

    @property
    def problems(self) -> dict[Path, str]:
        """What is wrong, by file."""
        return {path: e.problem for files in self.entries.values() for path, e in files.items() if e.problem}

    @property
    def remarks(self) -> dict[str, list[Path]]:
        """What is worth knowing, with the files it concerns."""
        found: dict[str, list[Path]] = {}
        for files in self.entries.values():
            for path, entry in files.items():
                for remark in entry.remarks:
                    found.setdefault(remark, []).append(path)
        return found

    @property
    def twins(self) -> dict[str, list[Path]]:
        """Files that are there byte for byte in another folder too: a test that was trained on measures nothing."""
        places: dict[str, set[str]] = {}
        for folder, files in self.entries.items():
            for entry in files.values():
                places.setdefault(entry.sha256, set()).add(folder.name)
        found: dict[str, list[Path]] = {}
        for folder, files in self.entries.items():
            for path, entry in files.items():
                others = sorted(places[entry.sha256] - {folder.name})
                if others and folder.name < others[0] and not entry.problem:
                    found.setdefault(f"the same file is in {folder.name} and in {', '.join(others)}", []).append(path)
        return found

    def to_table(self) -> Table:
        """Return a row per folder."""
        table = Table()
        for heading in ("folder", "images", "bad", "smallest", "largest", "MB"):
            table.add_column(heading, justify="left" if heading == "folder" else "right", no_wrap=True)
        for folder, files in self.entries.items():
            good = sorted(
                (entry for entry in files.values() if not entry.problem), key=lambda entry: entry.width * entry.height
            )
            sizes = [f"{entry.width}×{entry.height}" for entry in (good[0], good[-1])] if good else ["", ""]
            megabytes = sum(entry.bytes for entry in files.values()) / 1e6
            table.add_row(folder.name, str(len(files)), str(len(files) - len(good)), *sizes, f"{megabytes:.1f}")
        return table


def examine_folder(root: Path, form: Form, again: bool = False) -> Report:
    """Decode every image of a data set, or of one folder, as far as its index does not know it yet."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    folders = [root / part for part in _PARTS if (root / part).is_dir()] or [root]
    entries: dict[Path, dict[Path, Entry]] = {}
    indexes = []
    for folder in folders:
        paths, index = list_images(folder), Index(folder, form)
        check_with_progress(index, paths, again)
        entries[folder] = {path: index.entry(path) for path in paths}
        indexes.append(index)
    if not any(entries.values()):
        raise DataError(f"{root}: no images in it")
    return Report(entries, indexes)
