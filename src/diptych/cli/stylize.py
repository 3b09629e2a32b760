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
    positive,
)
from diptych.cli.translate import run, run_network
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
        "--grid", metavar="S,S,…", help="a picture of each style by itself at several strengths, such as 0,0.5,1"
    )
    add_run(stylize)
    add = stylize.add_argument_group("optimisation, without --translator").add_argument
    add("--recipe", help="plain, or classic: the weights of most tutorials (default plain)")
    add("--encoder", help=f"{ENCODER_HELP} (default imagenet)")
    add("--content-layer", metavar="NAME", help="relu4_2, conv5_2, … (default: the recipe's)")
    add("--weight", action="append", metavar="TERM=X", help="content, style or total_variation")
    add("--optimizer", help="lbfgs, adam, or scipy in rounds of 20 evaluations (default lbfgs)")
    add("--start", help="content, style or noise (default content)")
    add("--levels", type=positive, metavar="N", help="scales, each twice the one before (default 1)")
    add("--recompute", action="store_true", default=None, help="less memory, a third more time: for large images")
    stylize.set_defaults(run=_stylize)


def _stylize(options: argparse.Namespace) -> int:
    options.strengths = _read_strengths(options.grid)
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
    return replace(gatys, weights={**gatys.weights, **_read_weights(chosen["weight"])})


def _read_strengths(text: str | None) -> tuple[float, ...]:
    from diptych.inference import Controls

    try:
        return tuple(Controls(float(word)).strength for word in (text or "").split(",") if word)
    except ValueError:
        raise UserError(f"--grid {text}: say strengths with commas between them, as in 0,0.5,1") from None


def _read_weights(words: list[str]) -> dict[str, float]:
    weights = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            raise UserError(f"--weight {word}: say TERM=NUMBER, as in style=100") from None
    return weights
