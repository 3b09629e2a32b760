"""A table of an evaluation, for people."""

import math
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from diptych.metrics.evaluation import TRANSLATED, Evaluation
from diptych.metrics.metric import Metric, Score

_HEADINGS = {
    TRANSLATED: "output",
    "copying": "copying the input",
    "blurring": "blurring the input",
    "real_train_b": "real train {b}",
    "real_test_b": "real test {b}",
}
_CAPTION = (
    "Distances are to test {b}. The classifier is right about {accuracy:.1%} of real test images of {a} and {b}; the "
    "share that it takes for {b} is no measure of quality: tell it only with those beside it, a distance and a picture."
)


def make_table(evaluation: Evaluation, title: str) -> Table:
    """Return a table with a row for each metric that was measured."""
    names = evaluation.data.names
    columns = {name: scores for name, scores in evaluation.columns.items() if scores}
    table = Table(title=Text(f"{title}, {evaluation.images} test images"))
    table.add_column("")
    for column in columns:
        heading = Text(_HEADINGS.get(column, column).format(**names))
        table.add_column(heading, justify="right", max_width=8, overflow="fold")
    for metric in evaluation.metrics:
        values = [write_score(metric, scores.get(metric.name)) for scores in columns.values()]
        if any(values):
            table.add_row(Text(describe_metric(metric, names)), *values)
    if evaluation.classifier is not None:
        table.caption = Text(_CAPTION.format(accuracy=evaluation.classifier.accuracy, **names))
    return table


def describe_metric(metric: Metric, names: Mapping[str, str]) -> str:
    """Return a metric's title with its unit."""
    return metric.title.format(**names) + (f" ({metric.unit})" if metric.unit else "")


def write_score(metric: Metric, score: Score | None) -> str:
    """Return the value as the metric writes it; nothing where there is none."""
    return "" if score is None or math.isnan(score.value) else metric.form.format(score.value)
