"""How fast it is: every variant in turn within one run, so that only ratios are compared.

python scripts/benchmark.py train --size 128
python scripts/benchmark.py load --workers 2 --json load.json
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarking.importing import benchmark_import
from benchmarking.loading import benchmark_load
from benchmarking.measuring import save, show
from benchmarking.painting import VARIANTS, benchmark_descend, benchmark_paint
from benchmarking.training import benchmark_train
from benchmarking.translating import benchmark_translate
from diptych.inference import ENGINES, PRECISIONS


def make_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(metavar="WHAT", required=True)

    train = commands.add_parser("train", help="a training step of CycleGAN against the textbook's")
    train.add_argument("--size", type=int, default=128)
    train.add_argument("--batch", type=int, default=1)
    train.add_argument("--width", type=int, default=64)
    train.add_argument("--blocks", type=int, default=9)
    train.add_argument("--steps", type=int, default=3, help="per round (default 3)")
    train.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    train.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    train.add_argument("--compile", action="store_true", help="measure compiled networks too")
    train.add_argument("--memory", action="store_true", help="measure what saves memory too: recompute, accumulate")
    train.add_argument("--layouts", nargs="+", default=["channels_last"], choices=("channels_last", "contiguous"))
    train.set_defaults(run=benchmark_train, unit="steps/s")

    translate = commands.add_parser("translate", help="a folder of JPEGs to files, against a plain loop")
    translate.add_argument("--size", type=int, default=256)
    translate.add_argument("--batch", type=int, default=4)
    translate.add_argument("--width", type=int, default=64)
    translate.add_argument("--blocks", type=int, default=9)
    translate.add_argument("--count", type=int, default=16, help="JPEGs (default 16)")
    translate.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    translate.add_argument("--engines", nargs="+", default=["torch", "onnx", "openvino"], choices=ENGINES[1:])
    translate.add_argument("--precisions", nargs="+", default=["fp32"], choices=PRECISIONS)
    translate.set_defaults(run=benchmark_translate, unit="images/s")

    door = commands.add_parser("import", help="how soon commands answer")
    door.set_defaults(run=benchmark_import, unit="starts/s")

    load = commands.add_parser("load", help="decoding, resizing and cropping JPEGs")
    load.add_argument("--size", type=int, default=1024, help="of the JPEGs (default 1024)")
    load.add_argument("--load-size", type=int, default=286)
    load.add_argument("--crop-size", type=int, default=256)
    load.add_argument("--count", type=int, default=64, help="JPEGs (default 64)")
    load.add_argument("--batch-size", type=int, default=1)
    load.add_argument("--workers", type=int, default=0)
    load.set_defaults(run=benchmark_load, unit="images/s")

    for command in (train, translate, door, load, *add_painting(commands)):
        command.add_argument("--rounds", type=int, default=5)
        command.add_argument("--json", type=Path, metavar="FILE")
    return parser


def add_painting(commands: Any) -> tuple[argparse.ArgumentParser, ...]:
    """Add what measures style transfer to the command line."""
    paint = commands.add_parser("paint", help="networks that paint, against a plain loop over frames")
    paint.add_argument("--network", default="feed-forward", choices=("feed-forward", "adain"))
    paint.add_argument("--size", type=int, default=256)
    paint.set_defaults(run=benchmark_paint, unit="frames/s")

    descend = commands.add_parser("descend", help="optimisation of pixels to a loss, against SciPy and the textbook")
    descend.add_argument("--size", type=int, default=256)
    descend.add_argument("--steps", type=int, default=30, help="of ours, which set the loss to reach (default 30)")
    descend.add_argument("--encoder", default="random", help="as of diptych stylize (default random)")
    descend.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    descend.set_defaults(run=benchmark_descend, unit="runs/s")
    return paint, descend


def main() -> None:
    """Run what the command line asks for."""
    options = make_parser().parse_args()
    measurements = options.run(options)
    settings = {key: value for key, value in vars(options).items() if isinstance(value, int | float | str)}
    show(", ".join(f"{key} {value}" for key, value in settings.items() if key != "unit"), options.unit, measurements)
    if options.json:
        save(options.json, settings, measurements)


if __name__ == "__main__":
    main()
