"""Evaluations as files: what was measured, how and on what; tables that join only what is alike."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import diptych
from diptych.errors import FileError, UserError, name_reason
from diptych.metrics.evaluation import TRANSLATED, Evaluation
from diptych.metrics.metric import Score

Record = dict[str, Any]
_LIBRARIES = ("torchmetrics", "torch-fidelity", "timm")


def make_record(evaluation: Evaluation) -> Record:
    """Return all that a number's reader must know, as plain data."""
    data = evaluation.data
    return {
        "protocol": evaluation.protocol.describe(),
        "images": evaluation.images,
        "reals": {"images": len(data.real_paths), "sha256": data.reals_hash},
        "seed": 0,
        "versions": _find_versions(),
        "metrics": {
            metric.name: {
                "title": metric.title.format(**data.names),
                "unit": metric.unit,
                "form": metric.form,
                "higher_is_better": metric.higher_is_better,
                "network": metric.describe_network(),
            }
            for metric in evaluation.metrics
        },
        "names": dict(data.names),
        "columns": {
            column: {name: score_to_dict(score) for name, score in scores.items()}
            for column, scores in evaluation.columns.items()
        },
        "classifier_accuracy": evaluation.classifier.accuracy if evaluation.classifier else None,
    }


def score_to_dict(score: Score) -> dict[str, Any]:
    """Return a value with its interval of 95 %; what is no number is null, as JSON has none."""
    low, high = score.interval
    plain: dict[str, Any] = {"value": score.value, "low": low, "high": high}
    plain = {name: value if math.isfinite(value) else None for name, value in plain.items()} | {"images": score.images}
    return plain | ({"parts": dict(score.parts)} if score.parts else {})


def read_record(path: Path) -> Record:
    """Read a file that `diptych evaluate` has written; `FileError` where it is none."""
    try:
        record = json.loads(path.read_text())
        if not (isinstance(record["protocol"]["name"], str) and isinstance(record["columns"], dict)):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{path}: diptych evaluate has not written it ({name_reason(error)})") from None
    return record


def join_records(records: Mapping[str, Record]) -> Record:
    """Return one record with the columns of several; `UserError` where their numbers do not mean the same.

    The column of a single translator takes the name of its record; columns that all have are taken from the first.
    """
    (first, whole), *others = records.items()
    for name, record in others:
        for key, what in (("protocol", "protocols"), ("reals", "real images"), ("images", "numbers of images")):
            if record.get(key) != whole.get(key):
                values = f"{_brief(whole.get(key))} and {_brief(record.get(key))}"
                told = f"{first} and {name} are of different {what}, {values}: they do not stand side by side"
                raise UserError(told)
        for metric in record["metrics"].keys() & whole["metrics"].keys():
            if record["metrics"][metric]["network"] != whole["metrics"][metric]["network"]:
                raise UserError(f"{first} and {name} have measured {metric} with different networks")
    columns: dict[str, Any] = {}
    for name, record in records.items():
        for column, scores in record["columns"].items():
            columns.setdefault(name if column == TRANSLATED else column, scores)
    return whole | {"columns": columns, "metrics": {k: v for r in records.values() for k, v in r["metrics"].items()}}


def _brief(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return str(value.get("name") or f"{value.get('images')} images, {str(value.get('sha256'))[:8]}")


def _find_versions() -> dict[str, str]:
    found = {"diptych": diptych.__version__, "torch": torch.__version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_table(record: Record, ending: str) -> str:
    """Return a record as text, a row for each column that was measured: `.json`, `.csv`, `.md` or `.tex`."""
    return _WRITERS[ending](record)


def require_format(path: Path) -> None:
    """Raise `UserError` unless a table can be written as what a file's name ends in."""
    if path.suffix not in _WRITERS:
        raise UserError(f"{path}: a table ends in {', '.join(_WRITERS)}")


def _write_json(record: Record) -> str:
    return json.dumps(record, indent=2) + "\n"


def _write_csv(record: Record) -> str:
    """Return a row for each value: what, metric, value, low, high, images, protocol."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["of", "metric", "value", "low", "high", "images", "protocol"])
    for column, scores in record["columns"].items():
        for name, score in scores.items():
            numbers = ["" if score[key] is None else score[key] for key in ("value", "low", "high")]
            writer.writerow([column, name, *numbers, score["images"], record["protocol"]["name"]])
    return out.getvalue()


def _write_markdown(record: Record) -> str:
    rows = list(_tabulate(record, "±", "↑", "↓"))
    lines = [" | ".join(["", *(cell.replace("|", "\\|") for cell in row), ""]).strip() for row in rows]
    rule = f"|---|{'---:|' * (len(rows[0]) - 1)}"
    return "\n".join([lines[0], rule, *lines[1:], "", _say_how(record)]) + "\n"


def _write_latex(record: Record) -> str:
    rows = [[_escape(cell) for cell in row] for row in _tabulate(record, "$\\pm$", "$\\uparrow$", "$\\downarrow$")]
    lines = [f"{' & '.join(row)} \\\\" for row in rows]
    columns = "l" + "r" * (len(rows[0]) - 1)
    body = [lines[0], "\\hline", *lines[1:]]
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}", f"% {_say_how(record)}"]) + "\n"


def _tabulate(record: Record, margin: str, up: str, down: str) -> Iterator[list[str]]:
    """Yield a heading, and a row for each column of the record, values with the margin of their interval."""
    metrics = record["metrics"]
    yield ["", *(f"{name} {up if metric['higher_is_better'] else down}" for name, metric in metrics.items())]
    for column, scores in record["columns"].items():
        if scores:
            yield [column, *(_write_cell(scores.get(name), metrics[name]["form"], margin) for name in metrics)]


def _write_cell(score: Mapping[str, Any] | None, form: str, margin: str) -> str:
    if score is None or score["value"] is None:
        return ""
    value = form.format(score["value"])
    return value if score["high"] is None else f"{value} {margin} {form.format(score['high'] - score['value'])}"


def _say_how(record: Record) -> str:
    protocol, versions = record["protocol"], record["versions"]
    libraries = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"Protocol {protocol['name']}: {record['images']} outputs against {record['reals']['images']} real images "
        f"({protocol['reals']}); intervals of 95 %; {libraries}."
    )


def _escape(cell: str) -> str:
    """Return a cell as LaTeX's text, but for the mathematics that is ours."""
    return "".join(f"\\{char}" if char in "&%#_" else char for char in cell)


_WRITERS = {".json": _write_json, ".csv": _write_csv, ".md": _write_markdown, ".tex": _write_latex}
