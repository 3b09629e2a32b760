"""Translators, and outputs that others have made, measured on a folder of test images."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from diptych.data import Preparation, list_images, require_images
from diptych.errors import DataError, UserError
from diptych.images import PICTURE, draw_grid, write_image
from diptych.metrics import TRANSLATED, Chunk, Evaluation, EvaluationData, Protocol, Source, evaluate, find_protocol
from diptych.translators import NetworkTranslator
from diptych.translators.variants import make_source

_PREPARED = ("size", "load_size", "preset", "direction")
"""What translators must have learnt alike to be measured on the same images."""
_SHOWN, _SIDE = 6, 256  # of the worst images, and pixels that each is shown at or more


def find_evaluation_data(
    translator: NetworkTranslator | None,
    root: Path,
    direction: str | None = None,
    size: int | None = None,
    protocol: Protocol | None = None,
) -> EvaluationData:
    """Return the images of `root` (trainA, trainB, testA, testB) in the roles that the direction gives them.

    The test folders must be there; without training folders there is neither classifier nor floor. Images are prepared
    as for training, at the size of training unless another is given.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    protocol = protocol or find_protocol("default")
    notes = translator.notes if translator else {}
    folders = dict(zip("ab", (direction or notes.get("direction", "ab")).upper(), strict=True))
    trained = notes.get("size", 256)
    side = size or protocol.size or int(trained)
    scale = max(side, round(side * notes.get("load_size", trained) / trained))
    preparation = Preparation(scale, side, preset=notes.get("preset", "resize_and_crop"))
    forms = {"a": translator.input, "b": translator.output} if translator else {"a": PICTURE, "b": PICTURE}

    def load(domain: str, paths: Sequence[Path]) -> Tensor:
        return torch.stack([preparation.load_for_test(path, forms[domain]) for path in paths])

    train = {domain: list_images(root / f"train{folder}") for domain, folder in folders.items()}
    test = {domain: require_images(root / f"test{folder}", "--data") for domain, folder in folders.items()}
    if protocol.reals != "test" and not train["b"]:
        raise DataError(f"{root}: protocol {protocol.name} needs train{folders['b']}, which holds no images")
    reals = {"test": test["b"], "train": train["b"], "train+test": [*train["b"], *test["b"]]}[protocol.reals]
    names = {domain: str(notes.get(key, domain.upper())) for domain, key in (("a", "from"), ("b", "to"))}
    prepared = f"{preparation} {forms['b'].describe()}"
    return EvaluationData(train=train, test=test, load=load, names=names, reals=reals, prepared=prepared)


def evaluate_on_folder(
    translators: Mapping[str, NetworkTranslator],
    root: Path,
    protocol: Protocol | None = None,
    *,
    folders: Mapping[str, Path] | None = None,
    direction: str | None = None,
    size: int | None = None,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    worst: Path | None = None,
) -> Evaluation:
    """Measure translators and folders of ready outputs, by their titles; styles are images of the test set.

    `arguments` of metrics, for instance files of weights, come on top of the protocol's. `worst` is a folder for
    a sheet of the worst outputs by each metric that says something of single images.
    """
    protocol = protocol or find_protocol("default")
    _require_alike(translators, size or protocol.size)
    data = find_evaluation_data(next(iter(translators.values()), None), root, direction, size, protocol)
    sources = {title: make_source(translator) for title, translator in translators.items()}
    sources |= {title: find_outputs(folder, data) for title, folder in (folders or {}).items()}
    evaluation = evaluate(sources, data, protocol.make_metrics(arguments), protocol=protocol)
    for title, source in sources.items() if worst else ():
        for name, badness in evaluation.badness[title].items() if source.make else ():
            assert worst is not None
            place = worst if len(sources) == 1 else worst / title
            write_image(_draw_worst(source, data, badness, f"worst {name}"), place / f"{name}.png")
    return evaluation


def find_outputs(folder: Path, data: EvaluationData) -> Source:
    """Return ready outputs: each is that of the test image whose name its own is, or begins with before an underscore.

    Where no name agrees they are a set of which only distances to B can be taken; `DataError` where some do and others
    are missing, or two are meant by one.
    """
    images = require_images(folder, "--images")
    matches = {path: _find_output(path.stem, images) for path in data.test["a"]}
    if not any(matches.values()):
        return Source(images=images)
    for path, found in matches.items():
        if len(found) != 1:
            several = f"{found[0].name} and {found[1].name} both are" if found else "there is no"
            raise DataError(f"{folder}: {several} output of {path.name}")
    return Source(partial(_read_outputs, data, {path: found[0] for path, found in matches.items()}))


def _draw_worst(source: Source, data: EvaluationData, badness: Tensor, title: str) -> Image.Image:
    """Return a sheet of the worst outputs, the worst first: input, output, and truth where there is one."""
    rated = badness[: len(data.test["a"])].nan_to_num(-math.inf)
    found = [data.read_chunk([number]) for number in rated.argsort(descending=True)[:_SHOWN].tolist()]
    assert source.make is not None
    columns = [("input", [chunk.inputs for chunk, _ in found]), (title, [source.make(chunk) for chunk, _ in found])]
    if data.aligned:
        columns.append(("truth", [truth for _, truth in found if truth is not None]))
    sheet = [(heading, torch.cat(images).cpu()) for heading, images in columns]
    return draw_grid(sheet, scale=max(1, -(-_SIDE // sheet[0][1].shape[-1])))


def _find_output(stem: str, images: Sequence[Path]) -> list[Path]:
    same = [image for image in images if image.stem == stem]
    return same or [image for image in images if image.stem.startswith(f"{stem}_")]


def _read_outputs(data: EvaluationData, outputs: Mapping[Path, Path], chunk: Chunk) -> Tensor:
    return data.load("b", [outputs[path] for path in chunk.paths])


def _require_alike(translators: Mapping[str, NetworkTranslator], size: int | None) -> None:
    """Raise `UserError` where one set of images cannot be right for all."""
    keys = [key for key in _PREPARED if not (size and key in ("size", "load_size"))]
    for (first, one), (second, other) in pairwise(translators.items()):
        for key in keys:
            values = [translator.notes.get(key) for translator in (one, other)]
            if values[0] != values[1]:
                told = f"{first} and {second} were trained with {key} {values[0]} and {values[1]}"
                raise UserError(f"{told}; measure them one by one{', or give --size' if 'size' in key else ''}")


def name_apart(paths: Sequence[Path]) -> list[str]:
    """Return short titles of files or folders, each different: what their paths do not have in common."""
    if len(paths) == 1:
        return [TRANSLATED]
    parts = [path.resolve().with_suffix("").parts for path in paths]
    while len({part[0] for part in parts}) == 1 and all(len(part) > 1 for part in parts):
        parts = [part[1:] for part in parts]
    while len({part[-1] for part in parts}) == 1 and all(len(part) > 1 for part in parts):
        parts = [part[:-1] for part in parts]
    titles = ["/".join(part) for part in parts]
    return titles if len(set(titles)) == len(titles) else [str(path) for path in paths]
