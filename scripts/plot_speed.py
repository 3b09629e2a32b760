"""A picture of benchmark files: the ratio to the baseline of every variant, with its range, and its memory.

python scripts/plot_speed.py experiments/speed/*.json --out experiments/speed/speed.png
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

INK, BASE = "#2b6cb0", "#a0aec0"


def describe(settings: dict[str, Any]) -> str:
    """Return what distinguishes a file's benchmark."""
    words = [f"{settings[key]}{unit}" for key, unit in (("size", "²"),) if key in settings]
    words += [f"{key} {settings[key]}" for key in ("batch", "width", "blocks") if key in settings]
    return f"{settings['unit']}: {', '.join(words)} ({settings['device']})"


def draw(records: list[dict[str, Any]], out: Path) -> None:
    """Draw a row of two charts per record: speed, and peak memory where it was measured."""
    heights = [1 + 0.4 * len(record["variants"]) for record in records]
    size = (10, sum(heights))
    figure, axes = plt.subplots(len(records), 2, figsize=size, squeeze=False, height_ratios=heights, sharey="row")
    for (speed, memory), record in zip(axes, records, strict=True):
        variants = record["variants"]
        names = list(variants)[::-1]
        colours = [BASE if name == names[-1] else INK for name in names]
        medians = [statistics.median(variants[name]["ratios"]) for name in names]
        ranges = [
            [middle - min(variants[name]["ratios"]) for name, middle in zip(names, medians, strict=True)],
            [max(variants[name]["ratios"]) - middle for name, middle in zip(names, medians, strict=True)],
        ]
        speed.barh(names, medians, xerr=ranges, color=colours, capsize=3)
        speed.set_title(describe(record["settings"]), fontsize=9, loc="left")
        speed.set_xlabel("times the baseline's speed", fontsize=8)
        peaks = [variants[name].get("peak MiB", float("nan")) for name in names]
        memory.barh(names, [peak / peaks[-1] for peak in peaks], color=colours)
        memory.set_xlabel("times the baseline's peak memory", fontsize=8)
        for axis in (speed, memory):
            axis.axvline(1, color="black", linewidth=0.8)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    """Draw what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw([json.loads(path.read_text()) for path in options.files], options.out)


if __name__ == "__main__":
    main()
