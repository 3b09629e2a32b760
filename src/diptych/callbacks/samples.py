"""Pictures of what is learnt: the same test images, translated again and again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from diptych.arguments import Amount, Count, FilePath
from diptych.callbacks.ema import find_translators
from diptych.data import UnpairedData
from diptych.images import draw_grid, write_image
from diptych.methods import Method
from diptych.networks import StyleNetwork
from diptych.training.looking import looking
from diptych.translators import NetworkTranslator
from diptych.translators.variants import list_variants, translate_like

_SHEET_SIDE = 96  # smaller images are enlarged in pictures, so that one can see them


class Samples(Callback):
    """A grid of `count` fixed test images per domain, every `every` batches and at the end (`final.png`).

    Columns: real A, fake B, cycled A; real B, fake A, cycled B, as far as the method has the directions; where it has
    one and test images are aligned, the truth too, which otherwise is the other direction's real column. Instead of one
    column of fakes there are several where a translator takes styles (whose images stand above), seeds or steps.
    """

    def __init__(self, folder: FilePath, every: Amount = 500, count: Count = 6) -> None:
        self.folder = Path(folder)
        self.every, self.count = every, count

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draw a grid every so many batches."""
        assert isinstance(pl_module, Method)
        if self.every and pl_module.iteration % self.every == 0 and trainer.is_global_zero:
            self._save(trainer, pl_module, f"{pl_module.iteration:07d}")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the contact sheet."""
        assert isinstance(pl_module, Method)
        if trainer.is_global_zero:
            self._save(trainer, pl_module, "final", count=2 * self.count)

    def _save(self, trainer: Trainer, method: Method, name: str, count: int | None = None) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        with looking(method):
            picture = self.draw(find_translators(trainer, method), data, count or self.count)
        write_image(picture, self.folder / f"{name}.png")
        for logger in trainer.loggers:
            _log_image(logger, picture, method)

    def draw(self, translators: dict[str, NetworkTranslator], data: UnpairedData, count: int) -> Image.Image:
        """Return the grid; where test images are aligned, it holds the truth of each fake once."""
        columns: list[_Column] = []
        for here, there in (("a", "b"), ("b", "a")):
            if here + there not in translators:
                continue
            paths, translator = data.sample_paths(here, count), translators[here + there]
            known = isinstance(translator.network, StyleNetwork) and translator.network.style_names
            styles = data.train_paths[there] if known else data.sample_paths(there, count)
            real, references = data.load(here, paths), data.load(there, styles[:count])
            columns.append(_Column(data.names[here], real))
            columns += _translate(translator, real, references, f"to {data.names[there]}")
            if there + here in translators:
                back = translate_like(translators[there + here], columns[-1].images, real)
                columns.append(_Column(f"back to {data.names[here]}", back))
            elif data.aligned:
                columns.append(_Column(f"true {data.names[there]}", data.load(there, data.find_partners(here, paths))))
        side = columns[0].images.shape[-1]
        return draw_grid(_add_styles(columns), scale=max(1, -(-_SHEET_SIDE // side)))


class _Column(NamedTuple):
    """A column of the grid, and the style image that stands above it."""

    title: str
    images: Tensor
    style: Tensor | None = None


def _translate(translator: NetworkTranslator, real: Tensor, references: Tensor, title: str) -> list[_Column]:
    """Return a column for each thing that the translator can do with the images."""
    return [
        _Column(variant.title or title, translator(real, **variant.arguments).cpu(), variant.image)
        for variant in list_variants(translator, references)
    ]


def _add_styles(columns: Sequence[_Column]) -> list[tuple[str, Tensor]]:
    """Return titles and images, with a first row of the real style images where there are any."""
    if all(column.style is None for column in columns):
        return [(column.title, column.images) for column in columns]
    blank = torch.ones_like(columns[0].images[:1])
    tops = [blank if column.style is None else column.style for column in columns]
    return [(column.title, torch.cat([top, column.images])) for top, column in zip(tops, columns, strict=True)]


def _log_image(logger: Any, picture: Image.Image, method: Method) -> None:
    """Hand the picture to a logger that takes images."""
    caption = f"iteration {method.iteration}, {method.images_seen} images"
    if hasattr(logger, "log_image"):
        logger.log_image("samples", [picture], caption=[caption])
    elif hasattr(getattr(logger, "experiment", None), "add_image"):
        tensor = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        shaped = tensor.reshape(picture.height, picture.width, 3)
        logger.experiment.add_image("samples", shaped, method.images_seen, dataformats="HWC")
