"""`diptych evaluate` and `diptych table`: translators measured, and their numbers side by side."""

import argparse
from pathlib import Path
from typing import Any

from diptych.cli.options import FILE_HELP, add_device
from diptych.cli.parser import MOST_SIDE, path, whole
from diptych.errors import UserError
from diptych.files import require_writable
from diptych.terminal import say, show, show_status

_OUT_HELP = "a .json with everything, or a table as .csv, .md or .tex"


def add_evaluate_command(commands: Any) -> None:
    """Add `evaluate` and `table` to the command line."""
    evaluate = commands.add_parser("evaluate", help="measure translators, or ready outputs, on a test set")
    add = evaluate.add_argument
    add("--translator", type=path, nargs="+", default=[], metavar="FILE", help=FILE_HELP)
    add("--direction", choices=("ab", "ba"), help="where a checkpoint or a run holds both (default ab)")
    add("--images", type=path, nargs="+", default=[], metavar="DIR", help="outputs that another program has made")
    add("--data", type=path, required=True, metavar="DIR", help="holds testA testB [trainA trainB]")
    add("--metric", nargs="+", default=[], metavar="NAME", help="which metrics (default: the protocol's)")
    add("--protocol", default="default", metavar="NAME", help="how papers measure: cut256, clean, uvcgan2, …")
    add("--weights", nargs="+", default=[], metavar="METRIC=FILE", help="a network's weights, where they lie elsewhere")
    add("--out", type=path, default=Path("evaluation.json"), metavar="FILE", help=_OUT_HELP)
    add(
        "--size",
        type=whole(16, MOST_SIDE),
        metavar="N",
        help="side of the images (default: the protocol's, as trained)",
    )
    add("--worst", type=path, metavar="DIR", help="for a sheet of the worst outputs by each metric of single images")
    add_device(evaluate)
    evaluate.set_defaults(run=_evaluate)
    table = commands.add_parser("table", help="put the numbers of several evaluations side by side")
    table.add_argument("input", nargs="+", type=path, help="files that evaluate has written, .json")
    table.add_argument("--out", type=path, required=True, metavar="FILE", help=_OUT_HELP)
    table.set_defaults(run=_table)


def _evaluate(options: argparse.Namespace) -> int:
    from diptych.files import write_text
    from diptych.inference import choose_device
    from diptych.inference.evaluation import evaluate_on_folder, name_apart
    from diptych.metrics import choose_metrics, find_protocol, make_table
    from diptych.metrics.record import make_record, require_format, write_table
    from diptych.translators import load_translator

    require_writable(options.out.parent, options.out)
    require_format(options.out)
    if options.worst:
        require_writable(options.worst)
    if not (options.translator or options.images):
        raise UserError("evaluate needs --translator FILE or --images DIR")
    protocol = find_protocol(options.protocol)
    if options.metric:
        protocol = choose_metrics(options.metric, protocol)
    protocol.make_metrics(arguments := _read_weights(options.weights))  # mistakes are said before anything is loaded
    device = choose_device(options.device)
    titles = name_apart([*options.translator, *options.images])
    count = len(options.translator)
    loaded = [load_translator(file, options.direction).to(device) for file in options.translator]
    with show_status("evaluating"):
        evaluation = evaluate_on_folder(
            dict(zip(titles, loaded, strict=False)),
            options.data,
            protocol,
            folders=dict(zip(titles[count:], options.images, strict=True)),
            direction=options.direction,
            size=options.size,
            arguments=arguments,
            worst=options.worst,
        )
    show(make_table(evaluation, loaded[0].title if len(loaded) == 1 else str(options.data)))
    say(protocol.to_line())
    record = make_record(evaluation)
    files = {title: str(file) for title, file in zip(titles, [*options.translator, *options.images], strict=True)}
    write_text(options.out, write_table(record | {"files": files, "data": str(options.data)}, options.out.suffix))
    say(f"saved in {options.out}")
    return 0


def _read_weights(words: list[str]) -> dict[str, dict[str, str]]:
    pairs = [word.partition("=") for word in words]
    if wrong := [word for word, (name, _, file) in zip(words, pairs, strict=True) if not (name and file)]:
        raise UserError(f"--weights {wrong[0]}: write METRIC=FILE")
    return {name: {"weights": file} for name, _, file in pairs}


def _table(options: argparse.Namespace) -> int:
    from diptych.files import write_text
    from diptych.inference.evaluation import name_apart
    from diptych.metrics.record import join_records, read_record, require_format, write_table

    require_writable(options.out.parent, options.out)
    require_format(options.out)
    titles = name_apart(options.input)
    joined = join_records(dict(zip(titles, map(read_record, options.input), strict=True)))
    write_text(options.out, write_table(joined, options.out.suffix))
    say(f"saved in {options.out}")
    return 0
