"""A file that cannot be used, or that memory does not suffice for, is one line, and the rest is translated."""

import lzma
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import awkward_bytes as raw
import numpy as np
import pytest
import tifffile
import torch
from conftest import sweep, write_noise
from PIL import Image

from diptych.cli import main
from diptych.errors import DataError, MachineError, is_exhaustion
from diptych.images import Form, load_image, png
from diptych.inference.exporting import is_installed
from diptych.networks import build
from diptych.translators import NetworkTranslator

pytestmark = pytest.mark.reliability

LIMITED = """
import resource, sys
import torch
import diptych.cli, diptych.inference, diptych.translators, diptych.images, kornia  # what is to be had before the limit
from diptych.cli import main
engine, limit = sys.argv[1], int(sys.argv[2])
if engine == "onnx":
    import onnxruntime
if engine == "openvino":
    import openvino
torch.set_num_threads(1)
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + limit, held + limit))
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build("ResnetGenerator", width=8, blocks=1)
    path = tmp_path / "ab.safetensors"
    NetworkTranslator(network.eval(), {"direction": "ab"}).save(path)
    return path


def fill(folder: Path, **sizes: tuple[int, int]) -> None:
    """Write images of noise, and plain ones where they are large."""
    folder.mkdir(exist_ok=True)
    for name, size in sizes.items():
        if size[0] > 1000:
            Image.new("RGB", size, "teal").save(folder / f"{name}.png")
        else:
            write_noise(folder / f"{name}.png", np.random.default_rng(0), size)


def test_an_image_without_pixels_is_refused_wherever_it_is_met(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    fill(folder, good=(20, 24))
    (folder / "empty.tif").write_bytes(raw.tiff(raw.quadrants(), 2, claimed=(0, 32)))
    with pytest.raises(DataError, match=r"empty\.tif: not a readable image"):
        load_image(folder / "empty.tif")
    words = ["translate", str(folder), "--translator", str(bundle), "--out", str(tmp_path / "out"), "--size", "16"]
    assert main(words) == 4
    assert "1 of 2 images translated" in capsys.readouterr().out
    assert main(["data", "check", str(folder)]) == 4
    assert "error: " + str(folder / "empty.tif") in capsys.readouterr().out


@pytest.mark.parametrize("engine", sweep(["torch", "onnx", "openvino"], {"torch"}))
def test_too_little_memory_for_one_image_is_one_line(engine: str, bundle: Path, tmp_path: Path) -> None:
    """A process with a real limit on its memory, and an image whose activations do not fit below it."""
    if not is_installed(engine) or sys.platform != "linux":
        pytest.skip(f"{engine} is not installed, or memory cannot be limited here")
    fill(tmp_path / "in", large=(4000, 4000), small=(20, 24), tiny=(16, 16))
    out = tmp_path / "out"
    words = ["translate", str(tmp_path / "in"), "--translator", str(bundle), "--out", str(out), "--engine", engine]
    command = [sys.executable, "-c", LIMITED, engine, str(700 * 2**20), *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 6, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"error: {tmp_path / 'in' / 'large.png'}: not enough memory")
    assert "--size takes less" in line
    assert sorted(path.name for path in out.iterdir()) == ["small.png", "tiny.png"]
    assert "2 of 3 images translated" in result.stdout


def test_images_that_do_not_fit_together_are_translated_one_by_one(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", **dict.fromkeys("abcd", (16, 16)))
    forward = NetworkTranslator._iterate

    def run_short(self: NetworkTranslator, content: torch.Tensor, *rest: object) -> object:
        if len(content) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, content, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(NetworkTranslator, "_iterate", run_short)
    words = ["translate", str(tmp_path / "in"), "--translator", str(bundle), "--out", str(tmp_path / "out")]
    assert main([*words, "--engine", "torch"]) == 0
    assert "4 of 4 images translated" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["diptych.inference.folders.write_image", "diptych.inference.folders.load_image"])
def test_memory_may_run_out_while_files_are_read_and_written(
    place: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_short(*_: object) -> None:
        raise MemoryError

    fill(tmp_path / "in", a=(16, 16))
    monkeypatch.setattr(place, run_short)
    words = ["translate", str(tmp_path / "in"), "--translator", str(bundle), "--out", str(tmp_path / "out")]
    assert main([*words, "--engine", "torch"]) == 6
    assert "not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9216000000"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(28, "No space left on device"), False),
        (MachineError("out of memory: said already"), False),
    ],
    ids=str,
)
def test_what_libraries_say_of_memory_is_known(error: Exception, known: bool) -> None:
    assert is_exhaustion(error) is known


def test_data_check_does_not_remember_that_memory_was_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", a=(16, 16))
    with monkeypatch.context() as patched:
        patched.setattr("diptych.images.decoding._load_known", lambda *_: np.zeros(2**50))
        assert main(["data", "check", str(tmp_path / "in")]) == 4
    assert "a.png: not enough memory to decode it" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "in")]) == 0


def test_a_png_is_unpacked_no_further_than_it_has_rows(tmp_path: Path) -> None:
    """A picture of 16×16 black pixels whose data go on for 200 MB, in chunks and in one."""
    packer = zlib.compressobj(9)
    pieces = [*(packer.compress(bytes(2**20)) for _ in range(200)), packer.flush()]
    for name, parts in (("one", [b"".join(pieces)]), ("many", pieces)):
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)), *((b"IDAT", part) for part in parts)]
        content = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in [*chunks, (b"IEND", b"")]
        )
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        tracemalloc.start()
        try:
            assert load_image(tmp_path / f"{name}.png").width == 16
            assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
        finally:
            tracemalloc.stop()


def test_rows_are_counted_across_chunks(tmp_path: Path) -> None:
    """Of a PNG of several megabytes, whose missing rows are told by their number."""
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1200, 3), dtype=np.uint8)
    pixels[-1] = 0
    Image.fromarray(pixels).save(tmp_path / "x.png", compress_level=1)
    png.check_checksums(tmp_path / "x.png")
    png.check_rows(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[16:24] = struct.pack(">II", 1200, 1600)
    (tmp_path / "y.png").write_bytes(content)
    with pytest.raises(ValueError, match="it holds 1500 of 1600 rows"):
        png.check_rows(tmp_path / "y.png")
    content[2_000_000] ^= 1
    (tmp_path / "y.png").write_bytes(content)
    with pytest.raises(ValueError, match="checksum of its I"):
        png.check_checksums(tmp_path / "y.png")


@pytest.mark.parametrize(
    ("array", "form", "message"),
    [
        (np.zeros((8, 8, 3), np.complex128), Form(3, (0, 1), "float32"), "it holds complex128, not numbers"),
        (np.zeros((8, 8, 5), np.uint16), Form(5), "it holds uint16 numbers: declare their range"),
        (np.zeros((8, 8, 9), np.uint16), Form(2, (0, 1), "uint16"), "8×8×9 numbers are not an image of 2 channels"),
    ],
    ids=lambda value: str(getattr(value, "dtype", ""))[:9],
)
def test_what_does_not_fit_is_refused_before_it_is_decoded(
    array: np.ndarray, form: Form, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 158 bytes may claim three gigabytes of complex numbers, which tifffile would make."""

    def decode(*_: object, **__: object) -> None:
        raise AssertionError("it was decoded")

    tifffile.imwrite(tmp_path / "x.tif", array, photometric="minisblack", planarconfig="contig")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", decode)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", decode)
    with pytest.raises(DataError, match=message):
        load_image(tmp_path / "x.tif", form)


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_strip_unpacks_no_further_than_its_pixels(compression: str, tmp_path: Path) -> None:
    """Half a megabyte on the disk that unpacks to 500, for 16×16 pixels; without it the same file is read."""
    path, form = tmp_path / "x.tif", Form(1, (0, 65535), "uint16")
    pixels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    pack = {"zlib": zlib.compress, "lzma": lzma.compress}[compression]
    for more, refused in ((0, False), (50_000_000, True)):
        packed = pack(pixels.tobytes() + bytes(more))
        tifffile.imwrite(path, iter([packed]), shape=(16, 16), dtype=np.uint16, compression=compression)
        if not refused:
            assert load_image(path, form).stored == "uint16"
            continue
        with pytest.raises(DataError, match="a strip or tile of it unpacks to more than its pixels"):
            load_image(path, form)


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    'DimensionOrder="XYCZT" ID="Pixels:0" SizeC="2" SizeT="1" SizeX="8" SizeY="8" SizeZ="1" Type="uint16">{}</Pixels>'
    "</Image></OME>"
)
PLANE = '<TiffData FirstC="{}" IFD="0" PlaneCount="1"><UUID FileName="{}">urn:uuid:{}</UUID></TiffData>'


@pytest.mark.skipif(os.name != "posix", reason="a named pipe")
def test_a_tiff_leads_to_no_other_file(tmp_path: Path) -> None:
    """A microscope's file may name others: here a pipe, for which the program would wait for ever."""
    os.mkfifo(tmp_path / "other.tif")
    description = OME.format(PLANE.format(0, "x.ome.tif", 1) + PLANE.format(1, "other.tif", 2))
    tifffile.imwrite(tmp_path / "x.ome.tif", np.ones((8, 8), np.uint16), description=description, metadata=None)
    code = f"""
from pathlib import Path
from diptych.images import Form, load_image
print(load_image(Path({str(tmp_path / "x.ome.tif")!r}), Form(1, (0, 1), "uint16")).width)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "8\n", done.stderr
