"""`diptych translate`: files and folders through a translator, as much of it as is wanted and where it is."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.cli.options import add_translator, count_files, positive
from diptych.errors import DataError

if TYPE_CHECKING:
    from diptych.inference.folders import Outcome


def add_translate_command(commands: Any) -> None:
    """Add `translate` to the command line."""
    translate = commands.add_parser("translate", help="translate images", description="Translate files and folders.")
    add = translate.add_argument
    add("input", nargs="+", type=Path, help="images, or folders searched recursively")
    add_translator(translate)
    add("--out", type=Path, required=True, metavar="DIR", help="where translations go")
    add("--strength", type=float, default=1.0, metavar="S", help="from 0, the input, to 1, the full effect (default 1)")
    add("--colours", default="result", metavar="result|luminance", help="luminance: colours stay the input's")
    add("--mask", type=Path, metavar="FILE_OR_FOLDER", help="white where the translation goes: for all, or for each")
    add("--batch-size", type=positive, default=4, metavar="N", help="images at a time (default 4)")
    add("--size", type=positive, metavar="N", help="bring the shorter side to N pixels first")
    add("--keep-alpha", action="store_true", help="put an image's transparency back on its result")
    add("--max-pixels", type=positive, metavar="N", help="refuse larger images (default 150,000,000)")
    add("--engine", default="auto", help="auto, torch, compile, onnx, openvino (default auto)")
    add("--precision", default="fp32", help="fp32 or bf16 (default fp32)")
    translate.set_defaults(run=_translate)


def _translate(options: argparse.Namespace) -> int:
    from rich.progress import Progress

    from diptych.images.form import MAX_PIXELS
    from diptych.inference import Controls, Masks, choose_device, choose_engine, plan, translate_files
    from diptych.translators import load_translator

    controls, max_pixels = Controls(options.strength, options.colours), options.max_pixels or MAX_PIXELS
    masks = Masks(options.mask, max_pixels) if options.mask else None
    translator = load_translator(options.translator, options.direction)
    translator.network.to(choose_device(options.device))
    jobs = plan(options.input, options.out, translator.output, options.keep_alpha)
    print(translator.notes.get("recognised") or translator.title, flush=True)
    engine = choose_engine(translator, options.engine, options.precision, len(jobs))
    print(f"engine: {engine.name}", flush=True)
    with Progress() as progress:
        task = progress.add_task("translating", total=len(jobs))
        outcome = translate_files(
            translator,
            jobs,
            options.batch_size,
            options.size,
            advance=lambda job: progress.advance(task),
            keep_alpha=options.keep_alpha,
            max_pixels=max_pixels,
            engine=engine,
            controls=controls,
            masks=masks,
        )
    _tell(outcome)
    print(f"{len(jobs) - len(outcome.failures)} of {len(jobs)} images translated into {options.out}")
    return DataError.exit_code if outcome.failures else 0


def _tell(outcome: "Outcome") -> None:
    for remark, files in outcome.remarks.items():
        print(f"notice: {count_files(files)}: {remark}", file=sys.stderr)
    for line in outcome.failures:
        print(f"error: {line}", file=sys.stderr)
