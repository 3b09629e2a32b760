"""`diptych translate`, and what it shares with `diptych stylize`: files through a translator."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.cli.options import add_controls, add_files, add_run, add_style, add_translator
from diptych.cli.parser import count_files
from diptych.errors import DataError, UserError
from diptych.files import require_writable
from diptych.terminal import complain, make_progress, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from diptych.inference import Engine, Outcome, Settings, Styles
    from diptych.translators import Translator

_STYLE = "an image's file, a number or a name, whichever the translator takes; given several times they are mixed"


def add_translate_command(commands: Any) -> None:
    """Add `translate` to the command line."""
    translate = commands.add_parser("translate", help="translate images", description="Translate files and folders.")
    add_files(translate)
    add_translator(translate)
    add_style(translate, False, _STYLE)
    add_controls(translate)
    add_run(translate)
    translate.set_defaults(run=run_network, strengths=())


def run_network(options: argparse.Namespace) -> int:
    """Translate files by the translator that the options name."""
    from diptych.inference import choose_device, choose_engine
    from diptych.translators import load_translator

    check_paths(options)
    translator = load_translator(options.translator, options.direction).to(choose_device(options.device))
    return run(options, translator, partial(choose_engine, translator, options.engine, options.precision))


def check_paths(options: argparse.Namespace, styles: bool = False) -> None:
    """Raise for what is not there or cannot be written, before anything is loaded; `styles`: they can only be files."""
    from diptych.inference import StyleRequest, list_sources

    masks, count = len(options.style_mask), len(options.style)
    if masks and masks != count:
        raise UserError(f"--style-mask is given {masks} times and --style {count} times; give one for each")
    require_writable(options.out)
    images = [Path(str(StyleRequest.parse(text).value)) for text in options.style if styles]
    for place in filter(None, [*images, *options.style_mask, options.mask]):
        if not place.exists():
            raise DataError(f"{place}: no such image")
    for item in options.input:
        list_sources(item)


def run(options: argparse.Namespace, translator: "Translator", choose: "Callable[[int, bool], Engine]") -> int:
    """Translate files; `choose` returns the engine for so many images, and whether they are all that it is given."""
    from diptych.inference import choose_device, plan, translate_files

    settings = _read_settings(options, translator)
    settings.check(translator)
    protected = [path for holder in (settings.styles, settings.masks) if holder for path in holder.files]
    grid = bool(settings.strengths)
    on_the_way = options.every is not None
    jobs = plan(options.input, options.out, translator.output, options.keep_alpha, grid, on_the_way, protected)
    say(translator.notes.get("recognised") or translator.title)
    engine = choose(len(jobs), settings.fits_engines(translator))
    say(f"engine: {engine.name}")
    device = choose_device(options.device)
    with _show_progress(len(jobs)) as (advance, watch):
        outcome = translate_files(engine.translator, jobs, settings, advance, watch, device)
    _tell(outcome)
    say(f"{len(jobs) - len(outcome.failures)} of {len(jobs)} images translated into {options.out}")
    return outcome.exit_code


def _read_settings(options: argparse.Namespace, translator: "Translator") -> "Settings":
    """Read what the options name, styles and masks too."""
    from diptych.images.form import MAX_PIXELS
    from diptych.inference import Controls, Masks, Settings

    controls, max_pixels = Controls(options.strength, options.colours), options.max_pixels or MAX_PIXELS
    return Settings(
        controls=controls,
        styles=_read_styles(options, translator, max_pixels),
        seed=options.seed,
        steps=options.steps,
        masks=Masks(options.mask, max_pixels) if options.mask else None,
        strengths=options.strengths,
        batch_size=options.batch_size,
        size=options.size,
        keep_alpha=options.keep_alpha,
        max_pixels=max_pixels,
        every=options.every,
    )


def _read_styles(options: argparse.Namespace, translator: "Translator", max_pixels: int) -> "Styles | None":
    from diptych.inference import StyleRequest, Styles

    masks, count = options.style_mask, len(options.style)
    if not count:
        return None
    translator.require(style=True)
    requests = [StyleRequest.parse(text, translator.style_sources) for text in options.style]
    requests = [replace(one, mask=mask) for one, mask in zip(requests, masks or [None] * count, strict=True)]
    return Styles(translator, requests, options.style_scale, options.colours == "transfer", max_pixels)


@contextmanager
def _show_progress(images: int) -> "Iterator[tuple[Callable[..., None], Callable[..., None]]]":
    """Show a bar of images, and one of the steps within an image where there are any."""
    with make_progress() as bars:
        total = bars.add_task("translating", total=images)
        within = bars.add_task("", visible=False)

        def watch(job: Any, progress: Any) -> None:
            loss = "" if progress.loss is None else f", loss {progress.loss:.4g}"
            title = f"{Path(job.source).name}{loss}"
            several = progress.steps > 1
            bars.update(within, completed=progress.step, total=progress.steps, description=title, visible=several)

        yield lambda job: bars.advance(total), watch


def _tell(outcome: "Outcome") -> None:
    for remark, files in outcome.remarks.items():
        complain(f"notice: {count_files(files)}: {remark}")
    for failure in outcome.failures:
        complain(f"error: {failure}")
