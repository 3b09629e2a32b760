"""A folder of JPEGs to a folder of JPEGs: the plain loop, and `diptych translate` with each engine."""

import argparse
import copy
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image, to_tensor

from benchmarking.measuring import Measurement, Variant, run_in_turn
from benchmarking.textbook import Generator
from diptych.errors import MachineError
from diptych.inference import choose_engine, plan, translate_files
from diptych.inference.engines import is_installed
from diptych.networks import build
from diptych.translator import Translator


def loop_plainly(generator: Generator, source: Path, out: Path, device: torch.device) -> None:
    """Load, translate in eager fp32, save: one image after another, as the textbook does."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with torch.no_grad():
        for path in sorted(source.iterdir()):
            image = to_tensor(Image.open(path).convert("RGB"))[None].to(device) * 2 - 1
            to_pil_image((generator(image)[0].cpu() + 1) / 2).save(out / path.name, quality=95)


def translate_with(
    translator: Translator, engine: Callable[[Tensor], Tensor], batch: int, source: Path, out: Path
) -> None:
    """Do what `diptych translate` does once everything is loaded."""
    shutil.rmtree(out, ignore_errors=True)
    translate_files(translator, plan([source], out), batch, engine=engine)


def time_folder(call: Callable[[], None], images: int) -> float:
    """Return images per second."""
    start = time.perf_counter()
    call()
    return images / (time.perf_counter() - start)


def benchmark_translate(options: argparse.Namespace) -> list[Measurement]:
    """Images per second, end to end, of the plain loop and of every engine that is installed."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    network = build("ResnetGenerator", width=options.width, blocks=options.blocks).eval().requires_grad_(False)
    plain = Generator(options.width, options.blocks).eval()
    plain.load_state_dict(network.state_dict())
    translator, plain = Translator(network.to(device)), plain.to(device)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        for index in range(options.count):
            picture = Image.effect_mandelbrot((options.size, options.size), (-2, -1.5, 1, 1.5), 20 + index)
            picture.convert("RGB").save(source / f"{index:03d}.jpg", quality=90)
        variants: dict[str, Variant] = {
            "plain loop, fp32": partial(time_folder, partial(loop_plainly, plain, source, out, device), options.count)
        }
        for word in options.engines:
            for precision in options.precisions:
                if not is_installed(word) or (word, precision) == ("onnx", "bf16"):
                    continue
                try:
                    engine = choose_engine(Translator(copy.deepcopy(network)), word, precision, options.count)
                except MachineError as error:
                    print(f"left out: {error}")
                    continue
                call = partial(translate_with, translator, engine, options.batch, source, out)
                variants[f"diptych, {engine.name}"] = partial(time_folder, call, options.count)
        return run_in_turn(variants, options.rounds)
