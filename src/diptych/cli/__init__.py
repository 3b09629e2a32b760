"""The commands: what one does with a trained translator, with styles, and with data.

Nothing heavy is imported before a command needs it, so that `diptych --help` answers at once.
"""

import argparse
import io
import sys
from collections.abc import Sequence

from diptych import __version__
from diptych.cli.data import add_data_commands
from diptych.cli.evaluate import add_evaluate_command
from diptych.cli.options import FILE_HELP, add_translator
from diptych.cli.parser import Parser, path
from diptych.cli.similarity import add_similarity_command
from diptych.cli.stylize import add_stylize_command
from diptych.cli.translate import add_translate_command
from diptych.errors import MachineError, UserError, is_exhaustion
from diptych.files import require_writable
from diptych.terminal import complain, explained_output, say, silence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; mistakes of the user's become one line."""
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text that can be printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with explained_output():
            options = _make_parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
            return int(options.run(options))
    except UserError as error:
        complain(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        silence(sys.stdout)
        return 0
    except Exception as error:
        if not is_exhaustion(error):
            raise
        complain("error: out of memory: a smaller --size or --batch-size takes less, where there is one")
        return MachineError.exit_code


def _make_parser() -> Parser:
    parser = Parser(prog="diptych", description="Apply and measure translators learnt by train.py.")
    parser.add_argument("--version", action="version", version=f"diptych {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    add_translate_command(commands)
    add_stylize_command(commands)

    add_evaluate_command(commands)

    export = commands.add_parser("export", help="write a translator as ONNX, for other programs")
    add_translator(export)
    export.add_argument("--out", type=path, required=True, metavar="FILE", help="the .onnx file to write")
    export.set_defaults(run=_export)

    describe = commands.add_parser("describe", help="say what a file is")
    describe.add_argument("file", type=path, help=FILE_HELP)
    describe.add_argument("--direction", choices=("ab", "ba"), help="which translator of a checkpoint")
    describe.set_defaults(run=_describe)

    add_similarity_command(commands)
    add_data_commands(commands)
    return parser


def _export(options: argparse.Namespace) -> int:
    from diptych.inference import export
    from diptych.translators import load_translator

    require_writable(options.out.parent, options.out)
    translator = load_translator(options.translator, options.direction)
    export(translator, options.out)
    stride, channels = translator.network.stride, translator.input.channels
    say(f"{options.out}: takes images×{channels}×H×W in [-1, 1], H and W multiples of {stride}")
    return 0


def _describe(options: argparse.Namespace) -> int:
    from diptych.translators import load_translator

    translator = load_translator(options.file, options.direction)
    network = translator.network
    count = sum(parameter.numel() for parameter in network.parameters())
    say(f"{options.file}: {translator.notes.get('recognised') or 'a translator, ' + translator.title}")
    say(f"kind: {translator.kind}; beside the image it takes {', '.join(translator.list_taken()) or 'nothing'}")
    say(f"network: {type(network).__name__}, {count:,} parameters")
    for name, value in network.arguments.items():
        say(f"  {name}: {value}")
    for name, value in translator.notes.items():
        say(f"{name}: {value}")
    return 0
