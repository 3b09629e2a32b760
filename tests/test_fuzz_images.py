"""Damaged files of every encoding: decoded, or refused in one line that names the file, and nothing else is printed."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import sweep
from mutations import ENCODINGS, damage

from diptych.errors import DataError, MachineError
from diptych.images import Form, load_image

pytestmark = [pytest.mark.reliability, pytest.mark.filterwarnings("ignore:::PIL")]

FORMS = {
    "pictures": Form(max_pixels=1_000_000),
    "numbers": Form(1, (0.0, 1.0), "float32", max_pixels=1_000_000),
    "colours": Form(3, (0.0, 65535.0), "uint16", max_pixels=1_000_000),
}
SUFFIXES = {"npy": ".npy", "npy-float": ".npy"}
CASES = {"quick": range(4), "long": range(4, 200)}  # seeds of the damage; number 3 of tiff-float-tiles is endless


@pytest.mark.parametrize("size", sweep(CASES, {"quick"}))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_damage_is_the_files_own(
    encoding: str, form: str, size: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, path = ENCODINGS[encoding](), tmp_path / f"x{SUFFIXES.get(encoding, '.img')}"
    for seed in CASES[size]:
        path.write_bytes(damage(data, seed))
        try:
            picture = load_image(path, FORMS[form])
        except (DataError, MachineError) as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:  # what decodes can be translated: it has pixels, it can be brought to any size
            assert picture.scale_shorter_side(16).to_tensor().numel() > 0
    assert capfd.readouterr() == ("", "")


def test_libraries_print_nothing_of_their_own(tmp_path: Path) -> None:
    """Neither libtiff's lines, nor tifffile's log, nor warnings: a test's own process would not show them all."""
    for name in ("tiff-lzw", "tiff-deflate", "tiff-jpeg", "tiff-group4", "tiff-float"):
        for seed in range(10):
            (tmp_path / f"{name}-{seed}.tif").write_bytes(damage(ENCODINGS[name](), seed))
    code = """
import sys
from pathlib import Path
from diptych.errors import DataError
from diptych.images import Form, load_image
refused = 0
for path in sorted(Path(sys.argv[1]).iterdir()):
    for form in (Form(), Form(1, (0, 1), "float32")):
        try:
            load_image(path, form)
        except DataError:
            refused += 1
print(refused)
"""
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert int(result.stdout) > 40


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_undamaged_the_files_are_read(encoding: str, tmp_path: Path) -> None:
    """Or the damage would prove nothing; icons are refused, as they are no format of ours."""
    path = tmp_path / f"x{SUFFIXES.get(encoding, '.img')}"
    path.write_bytes(ENCODINGS[encoding]())
    if encoding == "ico":
        with pytest.raises(DataError, match="none of the formats read here"):
            load_image(path)
    else:
        form = FORMS["numbers"] if "float" in encoding else FORMS["pictures"]
        picture = load_image(path, form)
        assert sorted((picture.height, picture.width)) == [32, 48]
