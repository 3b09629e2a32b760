"""Metrics by their names: those of this room, and of other packages that offer some."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from diptych.arguments import suggest
from diptych.errors import UserError
from diptych.metrics.metric import METRICS, Metric
from diptych.metrics.symptom import DISCRIMINATOR_AUC, Symptom
from diptych.plugins import load_plugins

DEFAULT = (
    "psnr",
    "ssim",
    "l1",
    "copying",
    "swd",
    "kid_classifier",
    "classified_b",
    "classified_neither",
    "roughness",
    "white_tint",
)
"""The metrics that are taken where nobody says which: they need nothing but images."""


def list_metrics() -> dict[str, type[Metric]]:
    """Return all metrics by name."""
    _load_room()
    load_plugins("diptych.metrics")  # whose classes register themselves
    return dict(sorted(METRICS.items()))


def make_metrics(names: Iterable[str]) -> list[Metric]:
    """Return the metrics of these names, as they are without further arguments; `UserError` where there is none."""
    return [find_metric(name)() for name in dict.fromkeys(names)]


def find_metric(name: str) -> type[Metric]:
    """Return the metric of a name; `UserError` where there is none."""
    known = list_metrics()
    if name not in known:
        raise UserError(f"there is no metric {name}{suggest(name, list(known))}; there are {', '.join(known)}")
    return known[name]


def list_symptoms() -> dict[str, Symptom]:
    """Return what shows failures, by name: metrics, and what a discriminator says."""
    found = {name: metric.symptom for name, metric in list_metrics().items() if metric.symptom}
    return found | {"discriminator_auc": DISCRIMINATOR_AUC}


@cache
def _load_room() -> None:
    for module in iter_modules([str(Path(__file__).parent)]):
        import_module(f"{__package__}.{module.name}")
