"""Draw folders side by side: a column for each folder or file, a row for each file's name, cut to squares.

python scripts/draw_sheet.py sheet.png photo=photos gravel=out/gravel tissue=out/tissue --side 160
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

from diptych.data import list_images
from diptych.images import draw_grid, load_image, normalise


def read_square(path: Path, side: int) -> Tensor:
    """Return the middle of an image, 3×side×side."""
    return normalise(center_crop(load_image(path).scale_shorter_side(side).to_tensor(), [side, side]))


def find(folder: Path, row: str) -> Path:
    """Return the folder's image of this name, whatever it ends with; a file is the image of every name."""
    if folder.is_file():
        return folder
    for path in list_images(folder):
        if path.stem == row:
            return path
    raise SystemExit(f"error: {folder}: no image named {row}")


def main() -> None:
    """Read what the command line names and write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the sheet, a PNG")
    parser.add_argument("columns", nargs="+", metavar="TITLE=PATH", help="the first is a folder, and says the rows")
    parser.add_argument("--rows", help="names with commas between them (default: all of the first folder)")
    parser.add_argument("--side", type=int, default=160, help="pixels of a square (default 160)")
    options = parser.parse_args()
    columns = [(title, Path(path)) for title, _, path in (word.partition("=") for word in options.columns)]
    rows = options.rows.split(",") if options.rows else [path.stem for path in list_images(columns[0][1])]
    squares = [(title, [read_square(find(path, row), options.side) for row in rows]) for title, path in columns]
    draw_grid([(title, torch.stack(images)) for title, images in squares]).save(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
