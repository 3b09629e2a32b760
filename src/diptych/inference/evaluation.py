"""Evaluating a translator on a folder of test images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from diptych.data import Preparation, list_images, require_images
from diptych.errors import DataError
from diptych.metrics import Evaluation, EvaluationData, evaluate
from diptych.translator import Translator


def find_evaluation_data(root: Path, direction: str, size: int) -> EvaluationData:
    """Return the images of `root` (trainA, trainB, testA, testB) in the roles that the direction gives them.

    The test folders must be there; without training folders there is neither judge nor floor.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    folders = dict(zip("ab", direction.upper(), strict=True))
    preparation = Preparation(size, size)

    def load(paths: Sequence[Path]) -> Tensor:
        return torch.stack([preparation.load_for_test(path) for path in paths])

    return EvaluationData(
        train={domain: list_images(root / f"train{folder}") for domain, folder in folders.items()},
        test={domain: require_images(root / f"test{folder}", "--data") for domain, folder in folders.items()},
        load=load,
    )


def evaluate_on_folder(
    translator: Translator, root: Path, direction: str | None = None, size: int | None = None
) -> Evaluation:
    """Evaluate at the size the translator was trained at, unless another is given."""
    size = size or int(translator.notes.get("size", 256))
    data = find_evaluation_data(root, direction or translator.notes.get("direction", "ab"), size)
    return evaluate(translator, data)
