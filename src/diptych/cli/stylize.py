"""`diptych stylize`: images in the style of others, by optimisation or by a translator that takes styles."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diptych.cli.options import (
    ENCODER_HELP,
    add_controls,
    add_files,
    add_run,
    add_style,
    add_translator,
)
from diptych.cli.parser import strengths, term_weight, whole
from diptych.cli.translate import check_paths, run, run_network
from diptych.errors import UserError

if TYPE_CHECKING:
    from diptych.inference import Engine
    from diptych.translators import GatysTranslator

_DEFAULTS = {
    "recipe": "plain",
    "encoder": "imagenet",
    "content_layer": None,
    "weight": (),
    "optimizer": "lbfgs",
    "start": "content",
    "levels": 1,
    "recompute": False,
}
"""Options of optimisation; those that are not given are None, so that one beside --translator can be refused."""
_STEPS = 200


def add_stylize_command(commands: Any) -> None:
    """Add `stylize` to the command line."""
    words = "Optimise images (Gatys et al. 2016), or translate them to the style of others with --translator."
    stylize = commands.add_parser("stylize", help="paint images in the style of others", description=words)
    add_files(stylize)
    add_translator(stylize, required=False)
    add_style(stylize, True, "an image's file; given several times they are mixed by weight")
    add_controls(stylize)
    stylize.add_argument(
        "--grid",
        type=strengths,
        default=(),
        metavar="S,S,…",
        dest="strengths",
        help="a picture of each style by itself at several strengths, such as 0,0.5,1",
    )
    add_run(stylize)
    add = stylize.add_argument_group("optimisation, without --translator").add_argument
    add("--recipe", help="plain, or classic: the weights of most tutorials (default plain)")
    add("--encoder", help=f"{ENCODER_HELP} (default imagenet)")
    add("--content-layer", metavar="NAME", help="relu4_2, conv5_2, … (default: the recipe's)")
    add("--weight", type=term_weight, action="append", metavar="TERM=X", help="content, style or total_variation")
    add("--optimizer", help="lbfgs, adam, or scipy in rounds of 20 evaluations (default lbfgs)")
    add("--start", help="content, style or noise (default content)")
    add("--levels", type=whole(1, 12), metavar="N", help="scales, each twice the one before (default 1)")
    add("--recompute", action="store_true", default=None, help="less memory, a third more time: for large images")
    stylize.set_defaults(run=_stylize)


def _stylize(options: argparse.Namespace) -> int:
    if options.translator is None:
        return _optimise(options)
    for name in _DEFAULTS:
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is of optimisation: leave it out, or --translator")
    return run_network(options)


def _optimise(options: argparse.Namespace) -> int:
    from diptych.inference import Engine

    if options.engine not in ("auto", "torch") or options.precision != "fp32":
        word = "--precision" if options.engine in ("auto", "torch") else "--engine"
        value = options.precision if word == "--precision" else options.engine
        raise UserError(f"{word} {value} is for networks: optimisation runs by torch in fp32")
    check_paths(options, styles=True)
    gatys = _make_gatys(options)

    def choose(images: int, plain: bool) -> "Engine":
        return Engine("torch, fp32", gatys)

    return run(options, gatys, choose)


def _make_gatys(options: argparse.Namespace) -> "GatysTranslator":
    from diptych.translators import make_gatys

    given = {name: getattr(options, name) for name in _DEFAULTS if getattr(options, name) is not None}
    chosen: dict[str, Any] = {**_DEFAULTS, **given}
    scales = tuple(2.0 ** (level - chosen["levels"] + 1) for level in range(chosen["levels"]))
    settings = {"optimizer": chosen["optimizer"], "start": chosen["start"], "scales": scales}
    gatys = make_gatys(chosen["recipe"], chosen["encoder"], chosen["content_layer"], steps=_STEPS, **settings)
    gatys.loss.content.encoder.recompute = chosen["recompute"]
    return replace(gatys, weights={**gatys.weights, **dict(chosen["weight"])})
