"""Engines: each agrees with torch, or is not used. Run by test_engines.py, in a process of their own."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import diptych.inference.engines as engines
from diptych.cli import main
from diptych.errors import MachineError, UserError
from diptych.images import read_tensor
from diptych.inference import choose_engine
from diptych.inference.pipeline import Behind, look_ahead
from diptych.networks import build, initialise
from diptych.translators import NetworkTranslator, load_translator

EXPORTED = [name for name in ("onnx", "openvino") if engines.is_installed(name)]


def make_translator(network: str = "ResnetGenerator", **arguments: object) -> NetworkTranslator:
    torch.manual_seed(0)
    made = build(network, **({"width": 4} | arguments))
    initialise(made, init_gain=0.3)
    return NetworkTranslator(made.eval().requires_grad_(False), {"direction": "ab"})


class Differing(engines.ExportedTranslator):
    """Is off by a tenth."""

    def __call__(self, *arguments: Any, **more: Any) -> torch.Tensor:
        return super().__call__(*arguments, **more) + 0.1


@pytest.mark.parametrize("word", ["torch", *EXPORTED])
@pytest.mark.parametrize(
    "translator",
    [
        make_translator(blocks=2),
        make_translator(blocks=1, upsampling="resize", residual=True),
        make_translator(blocks=1, upsampling="antialias", downsampling="antialias", in_channels=1, out_channels=2),
        make_translator("UnetGenerator", depth=3, norm="batch"),
    ],
    ids=["resnet", "residual", "antialias", "unet"],
)
def test_engines_agree_with_torch_at_any_size(word: str, translator: NetworkTranslator) -> None:
    engine = choose_engine(translator, word)
    channels = translator.input.channels
    for size in [(1, 64, 48), (3, 33, 50), (2, 5, 70), (1, 1, 1)]:
        images = torch.rand(size[0], channels, *size[1:]) * 2 - 1
        torch.testing.assert_close(engine(images), translator(images), atol=2e-4, rtol=1e-3)


def test_bf16_is_near() -> None:
    translator = make_translator(blocks=1)
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    result = choose_engine(translator, "torch", "bf16")(images)
    assert result.dtype == torch.float32
    difference = (result - translator(images)).abs()
    assert 0 < difference.mean() < 0.02
    assert difference.max() < 0.25


@pytest.mark.slow
def test_compiled_networks_agree_with_torch() -> None:
    translator = make_translator(blocks=1)
    images = [torch.rand(1, 3, 24, 32) * 2 - 1, torch.rand(2, 3, 16, 20) * 2 - 1]
    expected = [translator(image) for image in images]
    engine = choose_engine(translator, "compile")
    for image, result in zip(images, expected, strict=True):
        torch.testing.assert_close(engine(image), result, atol=1e-4, rtol=1e-3)


def test_auto_takes_the_fastest_and_exports_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = make_translator(blocks=1)
    assert choose_engine(translator, "auto", images=2).name == "torch, fp32"
    for fastest in ("torch", *EXPORTED):
        monkeypatch.setattr(engines, "_time", lambda channels, e, fastest=fastest: not e.name.startswith(fastest))
        assert choose_engine(translator, "auto", images=100).name == f"{fastest}, fp32"
    monkeypatch.setattr(engines, "is_installed", lambda engine: engine == "torch")
    assert choose_engine(translator, "auto", images=100).name == "torch, fp32"


def test_an_engine_is_timed_on_an_image_of_its_channels() -> None:
    seen: list[tuple[int, ...]] = []
    assert engines._time(2, engines.Engine("any", lambda images: seen.append(tuple(images.shape)) or images)) >= 0
    assert set(seen) == {(1, 2, 256, 256)}


def test_an_engine_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = make_translator(blocks=1)
    for word in ("onnx", "openvino"):
        monkeypatch.setitem(engines._MAKERS, word, lambda translator, precision: Differing(translator, translator))
    monkeypatch.setattr(engines, "is_installed", lambda engine: True)
    with pytest.raises(MachineError, match=r"--engine openvino, fp32: differs from torch by 0\.1"):
        choose_engine(translator, "openvino")
    assert choose_engine(translator, "auto", images=100).name == "torch, fp32"

    def fail(translator: NetworkTranslator, precision: str) -> None:
        raise RuntimeError("no such instruction\nand more")

    monkeypatch.setitem(engines._MAKERS, "onnx", fail)
    with pytest.raises(MachineError, match=r"onnx: cannot run this network here \(no such instruction\); try"):
        choose_engine(translator, "onnx")


def test_senseless_engines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = make_translator(blocks=1)
    with pytest.raises(UserError, match="--engine tpu is not one of auto, torch"):
        choose_engine(translator, "tpu")
    with pytest.raises(UserError, match="--precision fp8 is not one of fp32, bf16"):
        choose_engine(translator, "torch", "fp8")
    monkeypatch.setattr(engines, "is_installed", lambda engine: engine != "onnx")
    with pytest.raises(MachineError, match=r"needs more packages: pip install 'diptych\[engines\]'"):
        choose_engine(translator, "onnx")
    monkeypatch.setattr(engines, "is_installed", lambda engine: True)
    with pytest.raises(UserError, match="onnx computes in fp32"):
        choose_engine(translator, "onnx", "bf16")
    with pytest.raises(UserError, match="--engine onnx runs a network in one pass, without style, seed or steps"):
        choose_engine(translator, "onnx", plain=False)


def test_styles_are_torchs_business() -> None:
    """`auto` takes torch, however many images there are; in bf16 codes are made and used too."""
    translator = load_translator(Path(__file__).parent / "data" / "format1" / "adain.safetensors")
    content, style = (torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert choose_engine(translator, "auto", images=100, plain=False).translator is translator
    reduced = choose_engine(translator, "torch", "bf16", plain=False).translator
    difference = (reduced(content, reduced.encode(style)) - translator(content, style)).abs()
    assert 0 < difference.mean() < 0.05


@pytest.mark.skipif("onnx" not in EXPORTED, reason="ONNX Runtime is not installed")
def test_the_export_is_kept_by_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    translator = make_translator(blocks=1)
    for _ in range(2):
        choose_engine(translator, "onnx")
    (file,) = tmp_path.rglob("*.onnx")
    next(translator.network.parameters()).add_(0.1)
    choose_engine(translator, "onnx")
    assert len(list(tmp_path.rglob("*.onnx"))) == 2
    assert file.is_file()


@pytest.mark.skipif("onnx" not in EXPORTED, reason="ONNX Runtime is not installed")
def test_the_command_exports_and_translates_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    translator = make_translator(blocks=1)
    bundle, file = tmp_path / "ab.safetensors", tmp_path / "new" / "ab.onnx"
    translator.save(bundle)
    for _ in range(2):  # a file that is there is replaced
        assert main(["export", "--translator", str(bundle), "--out", str(file)]) == 0
    assert "takes images×3×H×W in [-1, 1], H and W multiples of 4" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(file))
    images = torch.rand(2, 3, 40, 24)
    (result,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(result), translator(images), atol=2e-4, rtol=1e-3)
    (tmp_path / "in").mkdir()
    for index in range(5):
        Image.effect_mandelbrot((30 + index, 22), (-2, -1.5, 1, 1.5), 20).save(tmp_path / "in" / f"{index}.png")
    for word in ("torch", *EXPORTED):
        arguments = ["--translator", str(bundle), "--out", str(tmp_path / word), "--engine", word]
        assert main(["translate", str(tmp_path / "in"), *arguments]) == 0
        assert f"engine: {word}, fp32" in capsys.readouterr().out
        for path in (tmp_path / "torch").iterdir():
            difference = read_tensor(path) - read_tensor(tmp_path / word / path.name)
            assert difference.abs().max() <= 2.1 / 127.5  # a grey level or two


def test_looking_ahead_keeps_order_and_bounds() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item * item

    with ThreadPoolExecutor(4) as threads:
        results = look_ahead(threads, work, range(20), depth=3)
        assert next(results) == 0
        assert len(begun) <= 4
        assert list(results) == [item * item for item in range(1, 20)]


def test_work_behind_brings_up_its_errors() -> None:
    done: list[int] = []
    with ThreadPoolExecutor(2) as threads:
        behind = Behind(threads, depth=2)
        for item in range(9):
            behind.do(lambda item=item: done.append(item))
        behind.finish()
        assert sorted(done) == list(range(9))
        behind.do(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            behind.finish()


def test_nothing_of_the_engines_is_imported_before_it_is_needed() -> None:
    code = "import sys, diptych.inference; sys.exit(bool({'onnxruntime', 'openvino', 'onnx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
