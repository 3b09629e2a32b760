"""A folder of JPEGs to a folder of JPEGs: the plain loop, and `diptych translate` with each engine."""

import argparse
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image, to_tensor

from benchmarking.apart import Make, run_apart
from benchmarking.measuring import Measurement, Variant
from benchmarking.textbook import Generator
from diptych.inference import Engine, Settings, choose_engine, plan, translate_files
from diptych.inference.engines import is_installed
from diptych.networks import Network, build
from diptych.translators import NetworkTranslator


def loop_plainly(generator: Generator, source: Path, out: Path, device: torch.device) -> None:
    """Load, translate in eager fp32, save: one image after another, as the textbook does."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with torch.no_grad():
        for path in sorted(source.iterdir()):
            image = to_tensor(Image.open(path).convert("RGB"))[None].to(device) * 2 - 1
            to_pil_image((generator(image)[0].cpu() + 1) / 2).save(out / path.name, quality=95)


def translate_with(engine: Engine, batch: int, source: Path, out: Path) -> None:
    """Do what `diptych translate` does once everything is loaded."""
    shutil.rmtree(out, ignore_errors=True)
    translate_files(engine.translator, plan([source], out), Settings(batch_size=batch))


def time_folder(call: Callable[[], None], images: int) -> float:
    """Return images per second."""
    start = time.perf_counter()
    call()
    return images / (time.perf_counter() - start)


def make_network(options: argparse.Namespace) -> Network:
    """Return the generator that every variant runs, with the weights of seed 0."""
    torch.manual_seed(0)
    return build("ResnetGenerator", width=options.width, blocks=options.blocks).eval().requires_grad_(False)


def make_plain(options: argparse.Namespace, source: Path, out: Path) -> Variant:
    """Return rounds of the plain loop."""
    plain = Generator(options.width, options.blocks).eval()
    plain.load_state_dict(make_network(options).state_dict())
    device = torch.device(options.device)
    return partial(time_folder, partial(loop_plainly, plain.to(device), source, out, device), options.count)


def make_engine(options: argparse.Namespace, word: str, precision: str, source: Path, out: Path) -> Variant:
    """Return rounds of `diptych translate` with an engine."""
    translator = NetworkTranslator(make_network(options).to(options.device))
    engine = choose_engine(translator, word, precision)
    call = partial(translate_with, engine, options.batch, source, out)
    return partial(time_folder, call, options.count)


def benchmark_translate(options: argparse.Namespace) -> list[Measurement]:
    """Images per second, end to end, of the plain loop and of every engine that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in")
        source.mkdir()
        for index in range(options.count):
            picture = Image.effect_mandelbrot((options.size, options.size), (-2, -1.5, 1, 1.5), 20 + index)
            picture.convert("RGB").save(source / f"{index:03d}.jpg", quality=90)
        makes: dict[str, Make] = {"plain loop, fp32": partial(make_plain, options, source, Path(folder, "plain"))}
        for word, precision in itertools.product(options.engines, options.precisions):
            if not is_installed(word) or (word, precision) == ("onnx", "bf16"):
                print(f"left out: {word} in {precision} cannot be run here")
                continue
            name = f"diptych, {word}, {precision}"
            makes[name] = partial(make_engine, options, word, precision, source, Path(folder, f"{word}-{precision}"))
        return run_apart(makes, options.rounds, options.device)
