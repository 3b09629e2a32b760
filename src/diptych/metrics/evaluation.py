"""What a translator scores, each number beside those of the input, a blurred input and real images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from diptych.errors import DataError
from diptych.metrics.domain_classifier import DomainClassifier, train_classifier
from diptych.metrics.faults import blur
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
    ("swd", "sliced Wasserstein", "{:.4f}"),
    ("kid", "KID (classifier features)", "{:.4f}"),
    ("classified_b", "classified as {b}", "{:.1%}"),
    ("classified_neither", "… as neither", "{:.1%}"),
)
_OF_THE_TRUTH = ("psnr", "ssim", "l1")
_OF_ALIKE_DOMAINS = ("changed", "kid", "classified_b", "classified_neither")
_HEADINGS = ("", "output", "copying the input", "blurring the input", "real train {b}", "real test {b}")
_CAPTION = (
    "Distances are to test {b}. The classifier is right about {accuracy:.1%} of real test images of {a} and {b}; the "
    "share that it takes for {b} is no measure of quality: tell it only with those beside it, a distance and a picture."
)


@dataclass(frozen=True)
class EvaluationData:
    """Image paths by domain (`a` is what is translated), how a domain's images are loaded, and the domains' names."""

    train: dict[str, list[Path]]
    test: dict[str, list[Path]]
    load: Load
    names: Mapping[str, str] = field(default_factory=lambda: {"a": "A", "b": "B"})


@dataclass(frozen=True)
class Evaluation:
    """Scores of the translator, and those to read them beside: of no method at all, and of real images of B."""

    translator: Scores
    copying: Scores
    blurring: Scores
    real: Scores
    real_test: Scores
    classifier: DomainClassifier | None
    images: int
    names: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for a JSON file."""
        return {
            "images": self.images,
            "names": dict(self.names),
            "translator": self.translator,
            "copying": self.copying,
            "blurring": self.blurring,
            "real_train_b": self.real,
            "real_test_b": self.real_test,
            "classifier_accuracy": self.classifier.accuracy if self.classifier else None,
        }

    def to_table(self, title: str) -> Table:
        """Return a table for people."""
        table = Table(title=Text(f"{title}, {self.images} test images"))
        for heading in _HEADINGS:
            table.add_column(
                Text(heading.format(**self.names)),
                justify="right" if heading else "left",
                max_width=8 if heading else None,
                overflow="fold",
            )
        for key, label, style in _ROWS:
            columns = (self.translator, self.copying, self.blurring, self.real, self.real_test)
            values = [style.format(scores[key]) if key in scores else "" for scores in columns]
            if key in self.translator:
                table.add_row(Text(label.format(**self.names)), *values)
        if self.classifier is not None:
            table.caption = Text(_CAPTION.format(accuracy=self.classifier.accuracy, **self.names))
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
        if alike:
            scores["changed"] = float((images - real_a).abs().mean() / 2)
        return scores | _score_unpaired(images, real_b, classifier)

    return Evaluation(
        translator=score(outputs),
        copying=score(real_a) if alike else {},
        blurring=score(blur(real_a)) if alike else {},
        real=_score_unpaired(train["b"], real_b, classifier) if "b" in train else {},  # nobody is expected to pass it
        real_test=_classify(real_b, classifier),
        classifier=classifier,
        images=len(outputs),
        names=data.names,
    )


def list_scores(aligned: bool, alike: bool) -> list[str]:
    """Return the names of a translator's scores, where test sets are aligned or not and channels are as many or not."""
    names = [name for name, _, _ in _ROWS]
    return [
        name for name in names if (aligned or name not in _OF_THE_TRUTH) and (alike or name not in _OF_ALIKE_DOMAINS)
    ]


def _score_unpaired(images: Tensor, real_b: Tensor, classifier: DomainClassifier | None) -> Scores:
    scores = {"swd": sliced_wasserstein(images, real_b)}
    if classifier is not None:
        scores["kid"] = kid(classifier.describe(images), classifier.describe(real_b))
    return scores | _classify(images, classifier)


def _classify(images: Tensor, classifier: DomainClassifier | None) -> Scores:
    if classifier is None:
        return {}
    return {"classified_b": classifier.share_of_b(images), "classified_neither": classifier.share_of_neither(images)}


def _spread(paths: list[Path], limit: int) -> list[Path]:
    """Return at most `limit` paths, evenly spread."""
    step = max(1, -(-len(paths) // limit))
    return paths[::step]
