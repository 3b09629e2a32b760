"""`diptych stylize | similarity`: neural style transfer from the command line."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.cli.options import positive
from diptych.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from diptych.images import Picture
    from diptych.inference import Job, StyleFile
    from diptych.translators.gatys import Gatys

_ENCODER_HELP = "imagenet, own (small, comes along), random, a file with VGG's weights, or a translator's file"


def add_style_commands(commands: Any) -> None:
    """Add what works with styles to the command line."""
    stylize = commands.add_parser(
        "stylize", help="paint images in the style of others", description="Optimise images (Gatys et al. 2016)."
    )
    add = stylize.add_argument
    add("input", nargs="+", type=Path, help="content: images, or folders searched recursively")
    add("--style", action="append", required=True, metavar="FILE[:WEIGHT]", help="a style; may be given several times")
    add(
        "--mask", action="append", default=[], type=Path, metavar="FILE", help="where a style goes, one for each, white"
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where results go")
    add("--translator", type=Path, metavar="FILE", help="a network that takes styles, instead of optimising")
    add("--strength", type=float, default=1.0, help="from 0, the content, to 1, the full effect (default 1)")
    add("--keep-colours", choices=("luminance", "transfer"), help="of the content: after, or on the styles before")
    add("--style-scale", type=float, default=1.0, help="size of the style beside the content's (default 1)")
    add("--size", type=positive, metavar="N", help="bring the content's shorter side to N pixels first")
    add("--recipe", default="plain", help="plain, or classic: the weights of most tutorials (default plain)")
    add("--encoder", default="imagenet", help=_ENCODER_HELP)
    add("--content-layer", metavar="NAME", help="relu4_2, conv5_2, … (default: the recipe's)")
    add("--weight", action="append", default=[], metavar="TERM=X", help="content, style or total_variation")
    add("--optimizer", default="lbfgs", help="lbfgs, adam, or scipy in rounds of 20 evaluations (default lbfgs)")
    add("--steps", type=positive, default=200, metavar="N", help="steps or rounds (default 200)")
    add("--start", default="content", help="content, style or noise (default content)")
    add("--levels", type=positive, default=1, metavar="N", help="scales, each twice the one before (default 1)")
    add("--grid", metavar="S,S,…", help="a picture of each style by itself at several strengths, such as 0,0.5,1")
    add("--every", type=positive, metavar="N", help="keep the image after every N steps")
    add("--recompute", action="store_true", help="less memory, a third more time: for large images")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    stylize.set_defaults(run=_stylize)

    similarity = commands.add_parser("similarity", help="say how alike the styles of images are")
    similarity.add_argument("input", nargs="+", type=Path, help="images, or folders searched recursively")
    similarity.add_argument("--out", type=Path, required=True, metavar="DIR", help="for similarity.csv and .png")
    similarity.add_argument("--size", type=positive, default=256, metavar="N", help="shorter side (default 256)")
    similarity.add_argument("--encoder", default="imagenet", help=_ENCODER_HELP)
    similarity.set_defaults(run=_similarity)


def _stylize(options: argparse.Namespace) -> int:
    from diptych.images import load_image, write_image
    from diptych.inference import Controls, Stylizer, choose_device, paint_grid, plan
    from diptych.translators import load_translator

    controls = Controls(options.strength, options.keep_colours or "result")
    files, strengths = _pair_masks(options), _read_strengths(options.grid)
    jobs = plan(options.input, options.out)
    means = load_translator(options.translator) if options.translator else _make_gatys(options)
    stylize = Stylizer(means, controls, options.style_scale, choose_device(options.device))
    for job in jobs:
        picture = load_image(job.source)
        picture = picture.scale_shorter_side(options.size) if options.size else picture

        def paint(*chosen: "StyleFile", job: "Job" = job, picture: "Picture" = picture) -> "Tensor":
            with _watching(f"{job.source.name} as {chosen[0].path.name}", job.target, options.every) as watch:
                return stylize(picture, chosen, watch)

        if options.grid:
            target = job.target.with_name(f"{job.target.stem}-grid.png")
            write_image(paint_grid(paint, picture, files, strengths), target)
        else:
            target = job.target
            write_image(paint(*files)[0].cpu(), target)
        print(target)
    return 0


def _make_gatys(options: argparse.Namespace) -> "Gatys":
    from diptych.inference import make_gatys

    scales = tuple(2.0 ** (level - options.levels + 1) for level in range(options.levels))
    settings = {"optimizer": options.optimizer, "steps": options.steps, "start": options.start, "scales": scales}
    gatys = make_gatys(options.recipe, options.encoder, options.content_layer, **settings)
    gatys = replace(gatys, weights={**gatys.weights, **_read_weights(options.weight)})
    gatys.look.content.encoder.recompute = options.recompute
    return gatys


def _similarity(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Column, Table

    from diptych.inference import compare_styles, list_sources
    from diptych.translators import load_encoder

    paths = [path for item in options.input for path in list_sources(item)]
    if len(paths) < 2:
        raise UserError("similarity compares at least two images")
    found = compare_styles(paths, load_encoder(options.encoder), options.size)
    found.save(options.out)
    table = Table(*(Column(name, overflow="fold") for name in ("image", "most alike")), *found.distances)
    for number, nearest in enumerate(found.find_nearest()):
        distances = [f"{float(matrix[number, nearest]):.4g}" for matrix in found.distances.values()]
        table.add_row(str(paths[number]), str(paths[nearest]), *distances)
    Console().print(table)
    print(f"saved in {options.out / 'similarity.csv'} and {options.out / 'similarity.png'}")
    return 0


def _pair_masks(options: argparse.Namespace) -> "list[StyleFile]":
    from diptych.inference import StyleFile

    files = [StyleFile.parse(text) for text in options.style]
    if options.mask and len(options.mask) != len(files):
        raise UserError(f"--mask is given {len(options.mask)} times and --style {len(files)} times; give one for each")
    return [replace(file, mask=mask) for file, mask in zip(files, options.mask or [None] * len(files), strict=True)]


def _read_strengths(text: str | None) -> list[float]:
    from diptych.inference import Controls

    try:
        return [Controls(float(word)).strength for word in (text or "").split(",") if word]
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


@contextmanager
def _watching(title: str, target: Path, every: int | None) -> Iterator[Any]:
    """Show a bar with the loss, and keep the images on the way beside the result."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from diptych.images import write_image

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    with Progress(*columns) as bars:
        task = bars.add_task(title, total=None, loss="")

        def watch(progress: Any) -> None:
            bars.update(task, completed=progress.step, total=progress.steps, loss=f"loss {progress.loss:.4g}")
            if every and progress.step % every == 0:
                folder = target.parent / f"{target.stem}-steps"
                write_image(progress.image[0].cpu(), folder / f"{progress.step:05d}.png")

        yield watch
