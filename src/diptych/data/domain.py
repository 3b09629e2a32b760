"""One domain's training images: from a path to prepared pixels, by way of the cache and of the policy on bad files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from diptych.data.cache import PixelCache
from diptych.data.preparation import Preparation
from diptych.errors import DataError
from diptych.images import PICTURE, Form

HINT = "data.on_error=skip leaves such files out, `diptych data check FOLDER` lists them all"


@dataclass
class Notes:
    """What happened while an item was loaded: files left out, by reason, and remarks with the file they concern."""

    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Domain:
    """The images of a domain; with `skip` an unreadable one is replaced by the next that can be read."""

    paths: Sequence[Path]
    preparation: Preparation
    form: Form = PICTURE
    cache: PixelCache | None = None
    skip: bool = False
    _bad: set[Path] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def words(self) -> str:
        """What, besides the file, the prepared pixels depend on."""
        preparation, form = self.preparation, self.form
        sizes = (preparation.load_size, preparation.crop_size) if preparation.preset != "none" else ()
        return f"{preparation.preset} {sizes} {preparation.min_size} {form.channels} {form.range} {form.background}"

    def load(self, index: int, notes: Notes) -> Tensor:
        """Return image number `index`, C×H×W as stored, and note down what was remarkable."""
        for step in range(len(self.paths)):
            path = self.paths[(index + step) % len(self.paths)]
            if path in self._bad:
                continue
            try:
                return self._load(path, notes)
            except (DataError, OSError) as error:  # a file may vanish between two looks at it
                if not self.skip:
                    raise DataError(f"{_describe(path, error)} ({HINT})") from None
                self._bad.add(path)
                notes.skipped.append((str(path), _describe(path, error)))
        raise DataError(f"{self.paths[0].parent}: none of its {len(self.paths)} images can be read")

    def _load(self, path: Path, notes: Notes) -> Tensor:
        def make() -> Tensor:
            pixels, remarks = self.preparation.load(path, self.form)
            notes.remarks += [(remark, str(path)) for remark in remarks]
            return pixels

        if self.cache is None:
            return make()
        damaged = self.cache.damaged
        pixels = self.cache.load(path, self.words, make)
        if self.cache.damaged > damaged:
            notes.remarks.append(("its prepared pixels in the cache were damaged and are made again", str(path)))
        return pixels


def _describe(path: Path, error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"{path}: {getattr(error, 'strerror', None) or error}"
