"""What a translator scores, each number beside that of copying the input, so that it has a meaning."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from diptych.errors import DataError
from diptych.metrics.domain_classifier import DomainClassifier, train_classifier
from diptych.metrics.kid import kid
from diptych.metrics.paired import compare
from diptych.metrics.sliced_wasserstein import sliced_wasserstein

Load = Callable[[str, Sequence[Path]], Tensor]
Scores = dict[str, float]
Translate = Callable[[Tensor, Tensor], Tensor]
"""Maps N×C×H×W images, and as many images of the other domain for those who take a style, to translations."""

_TRAIN_LIMIT = 1000  # training images that the classifier and the floor look at, so that large sets stay affordable

_ROWS = (
    ("psnr", "PSNR to the truth (dB)", "{:.2f}"),
    ("ssim", "SSIM to the truth", "{:.4f}"),
    ("l1", "L1 to the truth", "{:.4f}"),
    ("changed", "changed (L1 to the input)", "{:.4f}"),
    ("swd", "sliced Wasserstein to test B", "{:.4f}"),
    ("kid", "KID (classifier features) to test B", "{:.4f}"),
    ("classified_b", "classified as B", "{:.1%}"),
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
    classifier: DomainClassifier | None
    images: int

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for a JSON file."""
        return {
            "images": self.images,
            "translator": self.translator,
            "copying": self.copying,
            "real_train_b": self.real,
            "classifier_accuracy": self.classifier.accuracy if self.classifier else None,
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
        if self.classifier is not None:
            table.caption = (
                f"The classifier tells real test images of A and B apart in {self.classifier.accuracy:.1%} of cases."
            )
        return table


def evaluate(
    translate: Translate,
    data: EvaluationData,
    batch_size: int = 16,
    classifier: DomainClassifier | None = None,
) -> Evaluation:
    """Translate test A and compare it with test B; truth-based scores only where file names agree one by one.

    A classifier is trained unless one is given, for instance that of the other direction, swapped.
    """
    for domain in "ab":
        if not data.test[domain]:
            raise DataError(f"there are no test images of domain {domain.upper()} to evaluate on")
    real_a, real_b = (data.load(domain, data.test[domain]) for domain in "ab")
    references = real_b[torch.arange(1, len(real_a) + 1) % len(real_b)]  # of aligned images never the truth itself
    chunks = zip(real_a.split(batch_size), references.split(batch_size), strict=True)
    outputs = torch.cat([translate(chunk, styles).cpu() for chunk, styles in chunks])
    train = {domain: data.load(domain, _spread(paths, _TRAIN_LIMIT)) for domain, paths in data.train.items() if paths}
    alike = real_a.shape[1] == real_b.shape[1]  # or nothing can be copied, nor one network look at both
    if classifier is None and len(train) == 2 and alike:
        classifier = train_classifier(train, {"a": real_a, "b": real_b})
    aligned = [path.stem for path in data.test["a"]] == [path.stem for path in data.test["b"]]

    def score(images: Tensor) -> Scores:
        scores = compare(images, real_b) if aligned and len(images) == len(real_b) else {}
        return scores | _score_unpaired(images, real_b, classifier)

    translator = {**score(outputs), **({"changed": float((outputs - real_a).abs().mean() / 2)} if alike else {})}
    copying = {**score(real_a), "changed": 0.0} if alike else {}
    real = (
        _score_unpaired(train["b"], real_b, classifier) if "b" in train else {}
    )  # no translator is expected to pass it
    return Evaluation(translator, copying, real, classifier, len(outputs))


def _score_unpaired(images: Tensor, real_b: Tensor, classifier: DomainClassifier | None) -> Scores:
    scores = {"swd": sliced_wasserstein(images, real_b)}
    if classifier is not None:
        scores["kid"] = kid(classifier.describe(images), classifier.describe(real_b))
        scores["classified_b"] = classifier.share_of_b(images)
    return scores


def _spread(paths: list[Path], limit: int) -> list[Path]:
    """Return at most `limit` paths, evenly spread."""
    step = max(1, -(-len(paths) // limit))
    return paths[::step]
