"""What a translator scores, each number beside that of copying the input, so that it has a meaning."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from diptych.errors import DataError
from diptych.metrics.judge import Judge, train_judge
from diptych.metrics.kernel_distance import kernel_distance
from diptych.metrics.paired import compare
from diptych.metrics.sliced_wasserstein import sliced_wasserstein

Load = Callable[[str, Sequence[Path]], Tensor]
Scores = dict[str, float]

_TRAIN_LIMIT = 1000  # training images that the judge and the floor look at, so that large sets stay affordable

_ROWS = (
    ("psnr", "PSNR to the truth (dB)", "{:.2f}"),
    ("ssim", "SSIM to the truth", "{:.4f}"),
    ("l1", "L1 to the truth", "{:.4f}"),
    ("changed", "changed (L1 to the input)", "{:.4f}"),
    ("swd", "sliced Wasserstein to test B", "{:.4f}"),
    ("kernel", "kernel distance to test B", "{:.4f}"),
    ("judged_b", "judged B", "{:.1%}"),
)


@dataclass(frozen=True)
class EvaluationData:
    """Image paths by domain (`a` is what is translated), and how a domain's images are loaded."""

    train: dict[str, list[Path]]
    test: dict[str, list[Path]]
    load: Load


@dataclass(frozen=True)
class Evaluation:
    """Scores of the translator, of copying the input, and of real images of B from the training folder."""

    translator: Scores
    copying: Scores
    real: Scores
    judge: Judge | None
    images: int

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for a JSON file."""
        return {
            "images": self.images,
            "translator": self.translator,
            "copying": self.copying,
            "real_train_b": self.real,
            "judge_accuracy": self.judge.accuracy if self.judge else None,
        }

    def to_table(self, title: str) -> Table:
        """Return a table for people."""
        table = Table(title=f"{title}, {self.images} test images")
        for heading in ("", "translator", "copying the input", "real train B"):
            table.add_column(heading, justify="left" if not heading else "right")
        for key, label, style in _ROWS:
            scores = [s.get(key) for s in (self.translator, self.copying, self.real)]
            if scores[0] is not None:
                table.add_row(label, *("" if value is None else style.format(value) for value in scores))
        if self.judge is not None:
            table.caption = f"The judge tells real test images of A and B apart in {self.judge.accuracy:.1%} of cases."
        return table


def evaluate(
    translate: Callable[[Tensor], Tensor], data: EvaluationData, batch_size: int = 16, judge: Judge | None = None
) -> Evaluation:
    """Translate test A and compare it with test B; truth-based scores only where file names agree one by one.

    A judge is trained unless one is given, for instance that of the other direction, swapped.
    """
    for domain in "ab":
        if not data.test[domain]:
            raise DataError(f"there are no test images of domain {domain.upper()} to evaluate on")
    real_a, real_b = (data.load(domain, data.test[domain]) for domain in "ab")
    outputs = torch.cat([translate(chunk).cpu() for chunk in real_a.split(batch_size)])
    train = {domain: data.load(domain, _spread(paths, _TRAIN_LIMIT)) for domain, paths in data.train.items() if paths}
    alike = real_a.shape[1] == real_b.shape[1]  # or nothing can be copied, nor one network look at both
    if judge is None and len(train) == 2 and alike:
        judge = train_judge(train, {"a": real_a, "b": real_b})
    aligned = [path.stem for path in data.test["a"]] == [path.stem for path in data.test["b"]]

    def score(images: Tensor) -> Scores:
        scores = compare(images, real_b) if aligned and len(images) == len(real_b) else {}
        return scores | _score_unpaired(images, real_b, judge)

    translator = {**score(outputs), **({"changed": float((outputs - real_a).abs().mean() / 2)} if alike else {})}
    copying = {**score(real_a), "changed": 0.0} if alike else {}
    real = _score_unpaired(train["b"], real_b, judge) if "b" in train else {}  # no translator is expected to pass it
    return Evaluation(translator, copying, real, judge, len(outputs))


def _score_unpaired(images: Tensor, real_b: Tensor, judge: Judge | None) -> Scores:
    scores = {"swd": sliced_wasserstein(images, real_b)}
    if judge is not None:
        scores["kernel"] = kernel_distance(judge.describe(images), judge.describe(real_b))
        scores["judged_b"] = judge.share_of_b(images)
    return scores


def _spread(paths: list[Path], limit: int) -> list[Path]:
    """Return at most `limit` paths, evenly spread."""
    step = max(1, -(-len(paths) // limit))
    return paths[::step]
