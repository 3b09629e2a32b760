"""The score that a run returns, for whoever searches settings by it."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from diptych.data import UnpairedData
from diptych.errors import FileError, UserError
from diptych.metrics import RGB, TRANSLATED, Metric, Need, find_available, list_scores

METRICS_FILE = "metrics.json"
"""The file of a run folder with every score, by direction."""


def check_objective(
    objective: str | None, data: UnpairedData, directions: Collection[str], metrics: Sequence[Metric]
) -> None:
    """Raise `UserError` unless the run will have this score, `psnr_ab` for instance; None is no wish."""
    if objective is None:
        return
    if not (metrics and all(data.test_paths.values())):
        needed = "test images of both domains and callbacks.finish.evaluation=true"
        raise UserError(f"objective = {objective} needs an evaluation: {needed}")
    alike = data.channels["a"] == data.channels["b"]
    available = find_available(data.aligned, alike, len(directions) == 2)
    available.update(["classifier"] if alike else [])
    rgb: dict[str, set[Need]] = {domain: {"rgb"} if data.channels[domain] in RGB else set() for domain in "ab"}
    known = [f"{name}_{d}" for d in directions for name in list_scores(metrics, available | rgb[d[1]])]
    if objective not in known:
        raise UserError(f"objective = {objective} is not a score of this run, which are {', '.join(known)}")


def read_objective(objective: str | None, run_dir: Path) -> float | None:
    """Return the score of a run that has been evaluated; None without a wish, `FileError` where there is none."""
    if objective is None:
        return None
    name, direction = objective.rsplit("_", 1)
    path = run_dir / METRICS_FILE
    try:
        return float(json.loads(path.read_text())[direction]["columns"][TRANSLATED][name]["value"])
    except (OSError, ValueError, KeyError):
        raise FileError(f"{path}: there is no {objective} in it; `diptych evaluate` measures a translator") from None
