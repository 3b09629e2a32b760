"""Make the corpus of awkward files and print, as a Markdown table, what becomes of each.

python scripts/tabulate_awkward.py > table.md
"""

import re
import sys
import tempfile
from pathlib import Path

from diptych.errors import DataError
from diptych.images import load_image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from awkward import CORPUS, Awkward, make_corpus


def describe(entry: Awkward, folder: Path) -> str:
    """Say in a few words what reading the file gives."""
    try:
        picture = load_image(folder / entry.name)
    except DataError as error:
        return "refused: " + re.sub(r"^.*?: (not a readable image )?", "", str(error).replace(str(folder), ""), count=1)
    size = f"{picture.width}×{picture.height}"
    seen = [picture.bands[0].getpixel((int(x * picture.width), int(y * picture.height))) for (x, y), _ in entry.colours]
    errors = [
        abs(found - right)
        for colour, (_, expected) in zip(seen, entry.colours, strict=True)
        for found, right in zip(colour, expected, strict=True)  # type: ignore[arg-type]
    ]
    notice = f"; notice: {picture.remarks[0]}" if picture.remarks else ""
    small = "; too small to train on" if entry.small else ""
    return f"{size}, colours right to {max(errors, default=0)} of 255{notice}{small}"


def escape(text: str) -> str:
    """Return text that a Markdown table shows as it is."""
    printable = text.encode("utf-8", "backslashreplace").decode()
    return printable.replace("|", "\\|").replace("`", "'")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        make_corpus(Path(folder))
        print("| file | what it is | what becomes of it |\n|---|---|---|")
        for entry in CORPUS:
            name = entry.name if len(entry.name) < 40 else f"{entry.name[:12]}… ({len(entry.name)} characters)"
            print(f"| `{escape(name)}` | {escape(entry.what)} | {escape(describe(entry, Path(folder)))} |")


if __name__ == "__main__":
    main()
