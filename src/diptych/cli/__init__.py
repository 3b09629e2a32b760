"""`diptych translate | evaluate | describe | stylize | data`: what one does with a trained translator, and with data.

Nothing heavy is imported before a command needs it, so that `diptych --help` answers at once.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from diptych.cli.data import add_data_commands
from diptych.cli.style import add_style_commands
from diptych.cli.words import count_files, positive
from diptych.errors import DataError, MachineError, UserError

_FILE_HELP = "a bundle (.safetensors), a training checkpoint (.ckpt) or a state dict of the original code (.pth)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; mistakes of the user's become one line."""
    options = _make_parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text that can be printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="diptych", description="Apply and measure translators learnt by train.py.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    translate = commands.add_parser("translate", help="translate images", description="Translate files and folders.")
    translate.add_argument("input", nargs="+", type=Path, help="images, or folders searched recursively")
    _add_translator(translate)
    translate.add_argument("--out", type=Path, required=True, metavar="DIR", help="where translations go")
    translate.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images at a time (default 4)")
    translate.add_argument("--size", type=positive, metavar="N", help="bring the shorter side to N pixels first")
    translate.add_argument("--keep-alpha", action="store_true", help="put an image's transparency back on its result")
    translate.add_argument(
        "--max-pixels", type=positive, metavar="N", help="refuse larger images (default 150,000,000)"
    )
    translate.add_argument("--engine", default="auto", help="auto, torch, compile, onnx, openvino (default auto)")
    translate.add_argument("--precision", default="fp32", help="fp32 or bf16 (default fp32)")
    translate.set_defaults(run=_translate)

    evaluate = commands.add_parser("evaluate", help="measure a translator on a test set")
    _add_translator(evaluate)
    evaluate.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds testA testB [trainA trainB]")
    evaluate.add_argument("--out", type=Path, default=Path("evaluation.json"), metavar="FILE", help="JSON to write")
    evaluate.add_argument("--size", type=positive, metavar="N", help="side of the images (default: as trained)")
    evaluate.set_defaults(run=_evaluate)

    export = commands.add_parser("export", help="write a translator as ONNX, for other programs")
    _add_translator(export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .onnx file to write")
    export.set_defaults(run=_export)

    describe = commands.add_parser("describe", help="say what a file is")
    describe.add_argument("file", type=Path, help=_FILE_HELP)
    describe.add_argument("--direction", choices=("ab", "ba"), help="which translator of a checkpoint")
    describe.set_defaults(run=_describe)

    add_style_commands(commands)
    add_data_commands(commands)
    return parser


def _add_translator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--translator", type=Path, required=True, metavar="FILE", help=_FILE_HELP)
    parser.add_argument("--direction", choices=("ab", "ba"), help="where a checkpoint holds both (default ab)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")


def _translate(options: argparse.Namespace) -> int:
    from rich.progress import Progress

    from diptych.images.form import MAX_PIXELS
    from diptych.inference import choose_device, choose_engine, plan, translate_files
    from diptych.translator import load_translator

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
            max_pixels=options.max_pixels or MAX_PIXELS,
            engine=engine,
        )
    for remark, files in outcome.remarks.items():
        print(f"notice: {count_files(files)}: {remark}", file=sys.stderr)
    for line in outcome.failures:
        print(f"error: {line}", file=sys.stderr)
    print(f"{len(jobs) - len(outcome.failures)} of {len(jobs)} images translated into {options.out}")
    return DataError.exit_code if outcome.failures else 0


def _evaluate(options: argparse.Namespace) -> int:
    from rich.console import Console

    from diptych.inference import choose_device, evaluate_on_folder
    from diptych.translator import load_translator

    console = Console()
    translator = load_translator(options.translator, options.direction)
    translator.network.to(choose_device(options.device))
    with console.status("evaluating"):
        scores = evaluate_on_folder(translator, options.data, options.direction, options.size)
    console.print(scores.to_table(translator.title))
    record = {"translator": str(options.translator), "data": str(options.data), **scores.to_dict()}
    try:
        options.out.write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise MachineError(f"{options.out}: cannot be written ({error.strerror})") from None
    print(f"saved in {options.out}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from diptych.inference import export
    from diptych.translator import load_translator

    translator = load_translator(options.translator, options.direction)
    export(translator, options.out)
    stride, channels = translator.network.stride, translator.input.channels
    print(f"{options.out}: takes images×{channels}×H×W in [-1, 1], H and W multiples of {stride}")
    return 0


def _describe(options: argparse.Namespace) -> int:
    from diptych.translator import load_translator

    translator = load_translator(options.file, options.direction)
    network = translator.network
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{options.file}: {translator.notes.get('recognised') or 'a translator, ' + translator.title}")
    print(f"network: {type(network).__name__}, {count:,} parameters")
    for name, value in network.arguments.items():
        print(f"  {name}: {value}")
    for name, value in translator.notes.items():
        print(f"{name}: {value}")
    return 0
