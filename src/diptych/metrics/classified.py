"""What a small classifier of the two domains, trained on their training images, makes of outputs."""

from torch import Tensor

from diptych.metrics.kid import KernelDistance
from diptych.metrics.metric import Batch, ImageMetric


class ClassifiedB(ImageMetric):
    """The share of images that it takes for domain B."""

    name = "classified_b"
    title = "classified as {b}"
    form = "{:.1%}"
    higher_is_better = True
    needs = frozenset({"classifier"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.classifier is not None
        return batch.classifier.is_b(batch.look(batch.classifier.judge)).float()


class ClassifiedNeither(ImageMetric):
    """The share of images that it takes for no real image of either domain."""

    name = "classified_neither"
    title = "… as neither"
    form = "{:.1%}"
    needs = frozenset({"classifier"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.classifier is not None
        return batch.classifier.is_neither(batch.look(batch.classifier.judge)).float()


class KidClassifier(KernelDistance):
    """KID on the features by which it decides."""

    name = "kid_classifier"
    title = "KID (classifier features)"
    needs = frozenset({"classifier", "reals"})

    def describe(self, batch: Batch) -> Tensor:
        assert batch.classifier is not None
        return batch.look(batch.classifier.describe)
