"""The script that makes flat2fluent, on two tiny packages made here, and the data set as shipped."""

import gzip
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("resvg_py")

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "make_flat2fluent.py"
FOLDERS = ("trainA", "trainB", "testA", "testB")

CHEFS = ["1f9d1-200d-1f373", "1f468-200d-1f373", "1f469-200d-1f373"]
RUNNERS = ["1f3c3", "1f3c3-200d-2640-fe0f", "1f3c3-200d-2642-fe0f"]
PLAIN = [f"{point:x}" for point in range(0x1F600, 0x1F610)]
TONES = ["1f44d-1f3fb", "1f3c3-1f3ff-200d-2640-fe0f"]
FLAGS = ["1f1eb-1f1f7", "1f3f4-e0067_e0062_e0065_e006e_e0067"]
CUT = gzip.compress(bytes(10_000))[:-1]  # a gzip file without its last byte
KEPT = {*CHEFS, *RUNNERS, *PLAIN}

sys.path.insert(0, str(SCRIPT.parent))
script = importlib.import_module("make_flat2fluent")


def make_svg(name: str) -> bytes:
    """Draw a disc on a transparent ground, its colour taken from the name so that no two are the same drawing."""
    disc = f'<circle cx="4" cy="4" r="3" fill="#{sum(map(ord, name)) * 7919 % 0x1000000:06x}"/>'
    return f'<svg viewBox="0 0 8 8" xmlns="http://www.w3.org/2000/svg">{disc}</svg>'.encode()


def make_webp(width: int = 32, height: int = 32) -> bytes:
    """Draw a red square in the middle of a transparent ground whose hidden colour is black."""
    image, stream = Image.new("RGBA", (width, height), (0, 0, 0, 0)), io.BytesIO()
    image.paste((255, 0, 0, 255), (width // 4, height // 4, width * 3 // 4, height * 3 // 4))
    image.save(stream, "WEBP", lossless=True, exact=True)
    return stream.getvalue()


def pack(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """Write a .tgz with these files and symbolic links."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def make_files(kind: str, suffix: str, drawings: Mapping[str, bytes]) -> dict[str, bytes]:
    """Lay out a package: metadata, README, images, and members that must be passed over."""
    stated = {"name": f"@test/{kind}", "version": "1.1.0", "license": "MIT", "author": "Somebody"}
    odd = ["/etc/1f700", "package/../../1f701", "elsewhere/1f702", "package/assets/not-an-emoji"]
    return {
        "package/package.json": json.dumps(stated).encode(),
        "package/README.md": "Copyright © 2023 [Somebody][profile]. <br />".encode(),
        "package/assets/notes.txt": b"not an image",
        **{f"{place}{suffix}": b"must never be read as an image" for place in odd},
        **{f"package/assets/{name}{suffix}": content for name, content in drawings.items()},
    }


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The two packages as the script's arguments."""
    folder = tmp_path_factory.mktemp("packages")
    names = [*CHEFS, *RUNNERS, *PLAIN, *TONES, *FLAGS]
    flat = make_files("flat", ".svg", {**{name: make_svg(name) for name in names}, "1f900": make_svg("1f900")})
    fluent = make_files("3d", ".webp", {**dict.fromkeys(names, make_webp()), "1f901": make_webp()})
    pack(folder / "flat.tgz", flat, {"package/assets/1f710.svg": "/etc/passwd"})
    pack(folder / "3d.tgz", fluent, {"package/assets/1f710.webp": "/etc/passwd"})
    return ["--flat", str(folder / "flat.tgz"), "--fluent", str(folder / "3d.tgz")]


@pytest.fixture(scope="module")
def made(packages: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set made once by the script itself."""
    out = tmp_path_factory.mktemp("made") / "flat2fluent"
    assert run("--size", "24", "--out", str(out), *packages).returncode == 0
    return out


def run(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does."""
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def assert_refused(result: subprocess.CompletedProcess[str], code: int, reason: str) -> None:
    """Check that the script stopped with one clear line."""
    assert result.returncode == code
    assert result.stderr.startswith("error: ") and reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def names_in(root: Path, folder: str) -> set[str]:
    """List the emoji of a folder."""
    return {file.stem for file in (root / folder).iterdir()}


def assert_split(root: Path) -> None:
    """Check that the test folders are aligned and that no family stands on two sides."""
    assert names_in(root, "testA") == names_in(root, "testB")
    families = [{script.family_key(name) for name in names_in(root, folder)} for folder in FOLDERS[:3]]
    assert all(families), "no folder may be empty"
    assert sum(map(len, families)) == len(set.union(*families))


def read_all(root: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_holds_each_emoji_once(made: Path) -> None:
    """Skin tones, flags, links, strange places and emoji of one package only are left out; nothing else is."""
    assert_split(made)
    assert set.union(*(names_in(made, folder) for folder in FOLDERS)) == KEPT


def test_images_are_on_white(made: Path) -> None:
    """Every image is RGB of the asked size, white at its corners and not at its middle, without a dark fringe."""
    for file in (file for folder in FOLDERS for file in (made / folder).iterdir()):
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("WEBP", "RGB", (24, 24))
            assert image.getpixel((0, 0)) == image.getpixel((23, 23)) == (255, 255, 255)
            assert image.getpixel((12, 12)) != (255, 255, 255)
            if file.parent.name.endswith("B"):
                assert min(image.getchannel("R").tobytes()) > 250, "the hidden black must not darken red on white"


def test_an_oblong_image_is_centred_not_stretched() -> None:
    """What is not square is put in the middle of a white square."""
    image = script.draw(make_webp(32, 16), "1f600.webp", 32)
    assert image.size == (32, 32)
    assert image.getpixel((16, 16)) == (255, 0, 0)
    assert image.getpixel((16, 10)) == (255, 255, 255)


def test_same_bytes_twice(made: Path, packages: list[str], tmp_path: Path) -> None:
    """Two runs give the same files, and leave nothing beside them."""
    assert script.main(["--size", "24", "--out", str(tmp_path / "again"), *packages]) == 0
    assert read_all(tmp_path / "again") == read_all(made)
    assert [entry.name for entry in tmp_path.iterdir()] == ["again"]


def test_pairs_and_flags_on_request_move_nothing(made: Path, packages: list[str], tmp_path: Path) -> None:
    """`--flags` keeps the flags, `--paired` puts training emoji into both folders; all others stay, at any size."""
    options, out = ["--size", "16", "--out", str(tmp_path / "set"), *packages], tmp_path / "set"
    assert script.main([*options, "--flags"]) == 0
    assert {Path(file).stem for file in read_all(out).keys() ^ read_all(made).keys()} == set(FLAGS)
    assert script.main([*options, "--paired", "--force"]) == 0
    both = names_in(made, "trainA") | names_in(made, "trainB")
    assert [names_in(out, name) for name in FOLDERS] == [both, both, *(names_in(made, n) for n in FOLDERS[2:])]


@pytest.mark.parametrize("variants", [CHEFS, RUNNERS, ["1f468", "1f469", "1f9d1"], ["1f44d", "1f44d-1f3fb"]])
def test_variants_share_a_family(variants: list[str]) -> None:
    """Gender, presentation and skin tone do not make another family."""
    assert len({script.family_key(name) for name in variants}) == 1


def test_one_drawing_under_two_names_is_one_family() -> None:
    """An emoji that repeats another's drawing follows it, so that no drawing is learnt and tested."""
    drawings = {"1f431": b"cat", "1f63a": b"cat", "1f63b": b"heart"}
    assert script.find_families(list(drawings), drawings) == {"1f431": "1f431", "1f63a": "1f431", "1f63b": "1f63b"}


def test_split_is_45_45_10() -> None:
    """The hash spreads many families as it should."""
    places = [script.choose_folders(f"{point:x}") for point in range(10_000)]
    shares = [places.count(place) / 10_000 for place in (("trainA",), ("trainB",), ("testA", "testB"))]
    assert shares == pytest.approx([0.45, 0.45, 0.1], abs=0.02)


def test_texts_tell_counts_and_origin(made: Path) -> None:
    """The README counts what is there; the licence says that it was put together; neither names this machine."""
    readme, licence = (made / "README.md").read_text("utf-8"), (made / "LICENSE").read_text("utf-8")
    for folder in FOLDERS:
        assert f"| `{folder}` | {len(names_in(made, folder))} | " in readme
    assert "| @test/flat | 1.1.0 | MIT | Somebody |" in readme and "--size 24" in readme
    assert "Copyright (c) 2023 Somebody\n" in licence and "include no LICENSE file" in licence
    assert str(made.parent) not in readme + licence


def test_a_license_in_the_packages_is_repeated(packages: list[str], tmp_path: Path) -> None:
    """A LICENSE that comes with a package is the one given on."""
    files = make_files("flat", ".svg", {name: make_svg(name) for name in PLAIN})
    flat = pack(tmp_path / "flat.tgz", {**files, "package/LICENSE": b"Their own text.\n"})
    assert script.main(["--size", "16", "--out", str(tmp_path / "set"), *packages[2:], "--flat", str(flat)]) == 0
    assert (tmp_path / "set" / "LICENSE").read_text() == "Their own text.\n"


def test_what_is_there_is_left_alone(made: Path, packages: list[str], tmp_path: Path) -> None:
    """A folder with something in it is refused; --force replaces a data set made here, and nothing else."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "README.md").write_text("old")
    arguments = ["--size", "24", "--out", str(place), *packages]
    assert_refused(run(*arguments), 2, "not empty")
    (place / "thesis.tex").write_text("dear")
    assert_refused(run(*arguments, "--force"), 2, "thesis.tex")
    (place / "thesis.tex").unlink()
    assert run(*arguments, "--force").returncode == 0
    assert read_all(place) == read_all(made)


@pytest.mark.parametrize("size", ["15", "257", "-1"])
def test_a_size_out_of_range_is_refused(size: str, packages: list[str], tmp_path: Path) -> None:
    """Sizes lie between 16 and 256."""
    assert_refused(run("--size", size, "--out", str(tmp_path / "set"), *packages), 1, "between 16 and 256")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b"not a tarball", CUT], ids=["none", "empty", "text", "cut"])
def test_a_bad_tarball_is_refused(content: bytes | None, packages: list[str], tmp_path: Path) -> None:
    """A file that is missing, empty, something else or cut short is refused by its name."""
    bad = tmp_path / "bad.tgz"
    if content is not None:
        bad.write_bytes(content)
    assert_refused(run("--out", str(tmp_path / "set"), *packages[2:], "--flat", str(bad)), 1, "bad.tgz")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (make_files("flat", ".svg", {"1f999": make_svg("1f999")}), "no emoji in common"),
        (make_files("flat", ".svg", dict.fromkeys(PLAIN, b"<svg")), "cannot be drawn"),
        ({"package/assets/1f600.svg": make_svg("1f600")}, "do not both declare the MIT licence"),
        ({"package/package.json": b"{"}, "cannot be read"),
    ],
)
def test_useless_package_is_refused(files: dict[str, bytes], reason: str, packages: list[str], tmp_path: Path) -> None:
    """A package without common emoji, with a broken one, or without a licence makes no data set and leaves nothing."""
    flat = pack(tmp_path / "flat.tgz", files)
    assert_refused(run("--out", str(tmp_path / "set"), *packages[2:], "--flat", str(flat)), 1, reason)
    assert [entry.name for entry in tmp_path.iterdir()] == ["flat.tgz"]


def imitate_npm(folder: Path, body: str) -> str:
    """Put a shell script in npm's place and return the search path that finds it first."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "npm").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(os.name == "nt", reason="npm is imitated by a shell script")
def test_npm_missing_or_failing_is_refused(tmp_path: Path) -> None:
    """Without npm the script says what to do instead; what npm complains of is passed on."""
    assert_refused(run("--out", str(tmp_path / "set"), path=str(tmp_path)), 1, "npm is not installed")
    path = imitate_npm(tmp_path / "tools", "echo 'npm error code E404' >&2; exit 1")
    assert_refused(run("--out", str(tmp_path / "set"), path=path), 1, "npm error code E404")
    assert [entry.name for entry in tmp_path.iterdir()] == ["tools"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    """A termination in the middle removes the scratch folder and gives exit code 130."""
    begun, place = tmp_path / "begun", tmp_path / "place"
    path = imitate_npm(tmp_path / "tools", f"touch '{begun}'; exec sleep 30")
    command = [sys.executable, str(SCRIPT), "--out", str(place / "set")]
    with subprocess.Popen(command, env={**os.environ, "PATH": path}, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 30
        while not begun.exists():
            assert time.monotonic() < end, "npm was never asked"
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 130
    assert not any(place.iterdir())


def test_shipped_data_set() -> None:
    """The data set in the repository is whole: counts, split, sizes and weight."""
    root = ROOT / "data" / "flat2fluent"
    assert_split(root)
    counts = {folder: len(names_in(root, folder)) for folder in FOLDERS}
    assert min(counts["trainA"], counts["trainB"]) > 600 and counts["testA"] > 120
    for file in (file for folder in FOLDERS for file in (root / folder).iterdir()):
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("WEBP", "RGB", (64, 64))
    assert sum(map(len, read_all(root).values())) < 6_000_000
