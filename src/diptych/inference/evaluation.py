"""Evaluating a translator on a folder of test images."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from diptych.data import Preparation, list_images, require_images
from diptych.errors import DataError
from diptych.metrics import DEFAULT, TRANSLATED, Evaluation, EvaluationData, evaluate
from diptych.metrics.registry import make_metrics
from diptych.translators import NetworkTranslator
from diptych.translators.variants import make_source


def find_evaluation_data(
    translator: NetworkTranslator, root: Path, direction: str | None = None, size: int | None = None
) -> EvaluationData:
    """Return the images of `root` (trainA, trainB, testA, testB) in the roles that the direction gives them.

    The test folders must be there; without training folders there is neither classifier nor floor. Images are prepared
    as for training, at the size of training unless another is given.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    notes = translator.notes
    folders = dict(zip("ab", (direction or notes.get("direction", "ab")).upper(), strict=True))
    side = size or int(notes.get("size", 256))
    scale = max(side, round(side * notes.get("load_size", side) / notes.get("size", side)))
    preparation = Preparation(scale, side, preset=notes.get("preset", "resize_and_crop"))
    forms = {"a": translator.input, "b": translator.output}

    def load(domain: str, paths: Sequence[Path]) -> Tensor:
        return torch.stack([preparation.load_for_test(path, forms[domain]) for path in paths])

    return EvaluationData(
        train={domain: list_images(root / f"train{folder}") for domain, folder in folders.items()},
        test={domain: require_images(root / f"test{folder}", "--data") for domain, folder in folders.items()},
        load=load,
        names={domain: str(notes.get(key, domain.upper())) for domain, key in (("a", "from"), ("b", "to"))},
    )


def evaluate_on_folder(
    translator: NetworkTranslator,
    root: Path,
    direction: str | None = None,
    size: int | None = None,
    metrics: Iterable[str] = DEFAULT,
) -> Evaluation:
    """Evaluate at the size of training, unless another is given; styles are images of the test set."""
    data = find_evaluation_data(translator, root, direction, size)
    return evaluate({TRANSLATED: make_source(translator)}, data, make_metrics(metrics))
