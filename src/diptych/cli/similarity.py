"""`diptych similarity`: how alike the styles of images are."""

import argparse
from typing import Any

from diptych.cli.options import ENCODER_HELP
from diptych.cli.parser import MOST_SIDE, path, whole
from diptych.errors import UserError
from diptych.files import require_writable
from diptych.terminal import say, show


def add_similarity_command(commands: Any) -> None:
    """Add `similarity` to the command line."""
    similarity = commands.add_parser("similarity", help="say how alike the styles of images are")
    similarity.add_argument("input", nargs="+", type=path, help="images, or folders searched recursively")
    similarity.add_argument("--out", type=path, required=True, metavar="DIR", help="for similarity.csv and .png")
    similarity.add_argument(
        "--size", type=whole(32, MOST_SIDE), default=256, metavar="N", help="shorter side (default 256)"
    )
    similarity.add_argument("--encoder", default="imagenet", help=f"{ENCODER_HELP} (default imagenet)")
    similarity.set_defaults(run=_similarity)


def _similarity(options: argparse.Namespace) -> int:
    from rich.table import Column, Table

    from diptych.inference import compare_styles, list_sources
    from diptych.translators import load_encoder

    require_writable(options.out)
    paths = [source for item in options.input for source in list_sources(item)]
    if len(paths) < 2:
        raise UserError("similarity compares at least two images")
    found = compare_styles(paths, load_encoder(options.encoder), options.size)
    found.save(options.out)
    table = Table(*(Column(name, no_wrap=True) for name in ("image", "most alike")), *found.distances)
    for number, nearest in enumerate(found.find_nearest()):
        distances = [f"{float(matrix[number, nearest]):.4g}" for matrix in found.distances.values()]
        table.add_row(str(paths[number]), str(paths[nearest]), *distances)
    show(table)
    say(f"saved in {options.out / 'similarity.csv'} and {options.out / 'similarity.png'}")
    return 0
