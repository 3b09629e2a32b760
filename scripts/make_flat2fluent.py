"""Make flat2fluent: flat emoji (A) and the same emoji rendered in 3-D (B), unpaired to train on, aligned to test on.

    python scripts/make_flat2fluent.py --size 64 --out data/flat2fluent

The two npm packages come through the `npm` client, or from `--flat FILE.tgz --fluent FILE.tgz`.
"""

import argparse
import gzip
import hashlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import resvg_py
from PIL import Image
from rich.console import Console
from rich.progress import track

FLAT = "@lobehub/fluent-emoji-flat@1.1.0"
FLUENT = "@lobehub/fluent-emoji-3d@1.1.0"
TEXTS = ("package.json", "README.md", "LICENSE")
FOLDERS = ("trainA", "trainB", "testA", "testB")
UNPAIRED = "No emoji stands in both training folders, so training is truly unpaired"
PAIRED = "The training folders hold the same emoji under the same names, for upper bounds"

NAME = re.compile(r"[0-9a-f]+([-_][0-9a-f]+)*")
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
SILENT = SKIN_TONES | {"2640", "2642", "200d", "fe0f"}  # and the gender signs, the joiner, the variation selector
PEOPLE = {"1f468": "1f9d1", "1f469": "1f9d1"}  # man and woman are variants of person
FLAG_LETTERS = {f"{point:x}" for point in range(0x1F1E6, 0x1F200)} | {"e0067"}  # e0067 opens the tags of a region

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
ORIGIN = """
---
Where this comes from: the two packages declare the MIT licence in package.json but include no LICENSE file, so the
text above is the standard one. The first notice is what the packages themselves state. The last is that of Microsoft's
Fluent Emoji (the GitHub project microsoft/fluentui-emoji, also MIT), whose drawings the packages say they hold. The
images were put on white, resized and split; nothing else was changed.
"""


class RefusalError(Exception):
    """A reason to stop, told in one line, and the exit code that goes with it."""

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Package:
    """What is read from one package: its images by name, its texts by file name, what its package.json says."""

    images: dict[str, bytes]
    texts: dict[str, str]
    metadata: dict[str, str]
    sha256: str

    @property
    def copyright(self) -> str:
        """The copyright notice of the package's README, or else one naming package.json's author."""
        found = re.search(r"Copyright (?:©|\(c\)) (\d{4}) \[?([\w .-]*\w)", self.texts.get("README.md", ""))
        return "Copyright (c) " + (" ".join(found.groups()) if found else self.metadata["author"])


def download_package(spec: str, folder: Path) -> Path:
    """Let npm put the package `name@version` into an empty folder as a .tgz file."""
    npm = shutil.which("npm")
    if npm is None:
        raise RefusalError("npm is not installed; install it, or give both packages with --flat and --fluent")
    folder.mkdir()
    command = [npm, "pack", spec, "--ignore-scripts", "--loglevel=error"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    files = sorted(folder.glob("*.tgz"))
    if result.returncode or not files:
        reasons = result.stderr.strip().splitlines() or ["no reason given"]
        raise RefusalError(f"npm could not pack {spec}: {reasons[0]}")
    return files[0]


def read_package(path: Path, suffix: str) -> Package:
    """Read the images and the texts of a .tgz file in memory; nothing is ever extracted to disk."""
    try:
        content = path.read_bytes()
        files = read_files(content)
        inside = {file: data for file, data in files.items() if file.parent == PurePosixPath("package/assets")}
        images = {f.stem: data for f, data in inside.items() if f.suffix == suffix and NAME.fullmatch(f.stem)}
        texts = {name: files[place].decode() for name in TEXTS if (place := PurePosixPath("package", name)) in files}
        stated = json.loads(texts.get("package.json", "{}"))
        metadata = {key: str(stated.get(key, "unknown")) for key in ("name", "version", "license", "author")}
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RefusalError(f"{path} is not a whole tarball ({error})") from error
    except (ValueError, AttributeError) as error:
        raise RefusalError(f"{path} holds a text that cannot be read ({error})") from error
    return Package(images, texts, metadata, hashlib.sha256(content).hexdigest())


def read_files(content: bytes) -> dict[PurePosixPath, bytes]:
    """Read every regular file of a tarball."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content)), mode="r:") as archive:
        streams = ((PurePosixPath(member.name), archive.extractfile(member)) for member in archive if member.isfile())
        return {place: stream.read() for place, stream in streams if stream}


def family_key(name: str) -> str:
    """Name the emoji of which this one is a variant in skin tone, gender or presentation."""
    kept = [PEOPLE.get(point, point) for point in re.split("[-_]", name) if point not in SILENT]
    return "-".join(kept) or name


def find_names(flat: Package, fluent: Package, flags: bool = False) -> list[str]:
    """List the emoji that both packages hold, without skin tones and, unless asked for, flags."""
    left_out = SKIN_TONES if flags else SKIN_TONES | FLAG_LETTERS
    both = sorted(flat.images.keys() & fluent.images.keys())
    names = [name for name in both if left_out.isdisjoint(re.split("[-_]", name))]
    if not names:
        raise RefusalError("the two packages have no emoji in common")
    return names


def find_families(names: Sequence[str], images: dict[str, bytes]) -> dict[str, str]:
    """Give every name its family; a drawing that stands under two names belongs to the first one's family."""
    first: dict[bytes, str] = {}
    return {name: family_key(first.setdefault(images[name], name)) for name in names}


def choose_folders(family: str, paired: bool = False) -> tuple[str, ...]:
    """Choose where a family goes by its hash: 45 % trainA, 45 % trainB (paired: 90 % both), 10 % both test folders."""
    place = int.from_bytes(hashlib.sha256(family.encode()).digest()[:8], "big") / 2**64
    if place >= 0.9:
        return ("testA", "testB")
    return ("trainA", "trainB") if paired else ("trainA",) if place < 0.45 else ("trainB",)


def put_on_white(image: Image.Image) -> Image.Image:
    """Composite an image in the middle of a white square."""
    image = image.convert("RGBA")
    side = max(image.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.convert("RGB")


def draw(content: bytes, name: str, size: int) -> Image.Image:
    """Draw an SVG at four times the size, or decode a WebP, put it on white and only then reduce it."""
    try:
        if name.endswith(".svg"):
            content = resvg_py.svg_to_bytes(svg_string=content.decode(), width=4 * size, skip_system_fonts=True)
        with Image.open(io.BytesIO(content)) as image:
            return put_on_white(image).resize((size, size), Image.Resampling.LANCZOS)
    except (ValueError, OSError, Image.DecompressionBombError) as error:
        raise RefusalError(f"{name} cannot be drawn ({error})") from error


def write_images(flat: Package, fluent: Package, families: dict[str, str], root: Path, size: int, paired: bool) -> None:
    """Write every emoji into the folders of its family, as lossless WebP."""
    console = Console(stderr=True)
    for name, family in track(families.items(), "Drawing", console=console, disable=not console.is_terminal):
        for folder in choose_folders(family, paired):
            package, suffix = (flat, ".svg") if folder.endswith("A") else (fluent, ".webp")
            image = draw(package.images[name], name + suffix, size)
            image.save(root / folder / f"{name}.webp", lossless=True, method=6)


def compose_readme(flat: Package, fluent: Package, families: dict[str, str], options: argparse.Namespace) -> str:
    """Write what the data set is, what it holds and where it comes from."""
    size = options.size
    held = {name: [f for f in families.values() if name in choose_folders(f, options.paired)] for name in FOLDERS}
    folders = "\n".join(f"| `{name}` | {len(found)} | {len(set(found))} |" for name, found in held.items())
    training = PAIRED if options.paired else UNPAIRED
    switches = "".join(f" --{name}" for name in ("flags", "paired") if vars(options)[name])
    packages = "\n".join(f"| {' | '.join(p.metadata.values())} | `{p.sha256}` |" for p in (flat, fluent))
    return f"""\
# flat2fluent

{len(families)} emoji as flat drawings (domain A) and as 3-D renderings (domain B), RGB on white,
{size} x {size} pixels, lossless WebP. {training}; the two
test folders hold the same emoji under the same names, so that a translation can be compared with the truth.

| folder | images | families |
|---|---|---|
{folders}

A family is an emoji with its variants (man, woman, person; presentation). A hash of its key chooses its folder, so it
never stands on two sides of a split. Skin tones are left out. The flags of countries and regions, each the same drawing
in both packages, are {"kept" if options.flags else "left out"}.

Made by

    python scripts/make_flat2fluent.py --size {size} --out data/flat2fluent{switches}

from two npm packages, which hold Microsoft's Fluent Emoji as LobeHub packages them. Their package.json says:

| package | version | license | author | SHA-256 of the .tgz |
|---|---|---|---|---|
{packages}
"""


def compose_license(packages: Sequence[Package]) -> str:
    """Repeat the packages' LICENSE, or else put the standard MIT text and their notices together."""
    if given := {package.texts["LICENSE"] for package in packages if "LICENSE" in package.texts}:
        return "\n".join(sorted(given))
    if any(package.metadata["license"] != "MIT" for package in packages):
        raise RefusalError("the packages include no LICENSE file and do not both declare the MIT licence")
    notices = "\n".join(sorted({package.copyright for package in packages}))
    return f"MIT License\n\n{notices}\nCopyright (c) Microsoft Corporation.\n\n{MIT}{ORIGIN}"


def check_place(out: Path, force: bool) -> None:
    """Refuse a place that holds something, and even by force one that holds anything but such a data set."""
    if out.exists() and not out.is_dir():
        raise RefusalError(f"{out} exists and is not a folder", 2)
    content = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if content and not force:
        raise RefusalError(f"{out} exists and is not empty; give --force to replace it", 2)
    if strange := content - {*FOLDERS, "README.md", "LICENSE"}:
        raise RefusalError(
            f"{out} is not a data set made here (it holds {sorted(strange)[0]}); --force leaves it alone", 2
        )


def build(options: argparse.Namespace, out: Path) -> int:
    """Make the data set beside its place, move it there whole, and return its number of emoji."""
    if not 16 <= options.size <= 256:
        raise RefusalError(f"--size is {options.size}; it must lie between 16 and 256")
    check_place(out, options.force)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        flat = read_package(options.flat or download_package(FLAT, Path(scratch, "flat")), ".svg")
        fluent = read_package(options.fluent or download_package(FLUENT, Path(scratch, "fluent")), ".webp")
        families = find_families(find_names(flat, fluent, options.flags), flat.images)
        made = Path(scratch, "made")
        for folder in FOLDERS:
            (made / folder).mkdir(parents=True)
        write_images(flat, fluent, families, made, options.size, options.paired)
        (made / "README.md").write_text(compose_readme(flat, fluent, families, options), encoding="utf-8")
        (made / "LICENSE").write_text(compose_license((flat, fluent)), encoding="utf-8")
        if out.exists():
            out.rename(Path(scratch, "replaced"))
        made.rename(out)
    return len(families)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make flat2fluent: flat emoji (A) and 3-D rendered emoji (B).")
    parser.add_argument("--size", type=int, default=64, help="pixels a side, 16 to 256 (default: 64)")
    parser.add_argument("--out", type=Path, default=Path("data/flat2fluent"), help="where to write the data set")
    parser.add_argument("--flat", type=Path, help=f"the .tgz of {FLAT}, instead of asking npm for it")
    parser.add_argument("--fluent", type=Path, help=f"the .tgz of {FLUENT}, instead of asking npm for it")
    parser.add_argument("--flags", action="store_true", help="keep the flags, which look the same in both packages")
    parser.add_argument("--paired", action="store_true", help="every training emoji in both domains, for upper bounds")
    parser.add_argument("--force", action="store_true", help="replace a data set that is already there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the scratch folder is removed
    try:
        count = build(options, options.out.resolve())
    except (RefusalError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code if isinstance(error, RefusalError) else 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    print(f"{count} emoji written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
