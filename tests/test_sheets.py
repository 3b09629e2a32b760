"""The scripts that fetch photographs to try and lay results out side by side."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from test_benchmark import run

from diptych.images import read_tensor, write_image


def test_photographs_are_written_as_large_as_is_asked(tmp_path: Path) -> None:
    done = run("export_photos.py", "--out", str(tmp_path), "--size", "48")
    assert done.returncode == 0, done.stderr
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert {"content/astronaut.png", "content/cat.png", "style/gravel.png"} <= set(names)
    assert {min(Image.open(tmp_path / name).size) for name in names} == {48}


@pytest.mark.exhaustive
def test_a_sheet_has_a_row_for_each_name_and_a_column_for_each_folder(tmp_path: Path) -> None:
    colours = {("photos", "a"): -1.0, ("photos", "b"): -0.5, ("painted", "a"): 0.5, ("painted", "b"): 1.0}
    for (folder, name), value in colours.items():
        write_image(torch.full((3, 20, 30), value), tmp_path / folder / f"{name}.png")
    write_image(torch.zeros(3, 9, 9), tmp_path / "style.png")
    columns = [f"photo={tmp_path / 'photos'}", f"style={tmp_path / 'style.png'}", f"result={tmp_path / 'painted'}"]
    done = run("draw_sheet.py", str(tmp_path / "sheet.png"), *columns, "--side", "16")
    assert done.returncode == 0, done.stderr
    sheet = read_tensor(tmp_path / "sheet.png")
    assert sheet.shape == (3, 2 + 16 + 2 * 18, 2 + 3 * 18)  # a header, then squares and gaps
    middles = [[float(sheet[0, 26 + 18 * row, 10 + 18 * column]) for column in range(3)] for row in range(2)]
    torch.testing.assert_close(torch.tensor(middles), torch.tensor([[-1, 0, 0.5], [-0.5, 0, 1]]), atol=0.01, rtol=0)
    (tmp_path / "painted" / "b.png").unlink()
    done = run("draw_sheet.py", str(tmp_path / "sheet.png"), *columns)
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / 'painted'}: no image named b\n")
