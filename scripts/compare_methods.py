"""Train several methods for equal time on flat2fluent, measure all with one classifier, draw a row for each.

    python scripts/compare_methods.py train --paired PAIRED --minutes 10 --jobs 2 --out runs/methods
    python scripts/compare_methods.py measure --out runs/methods

PAIRED is made by `scripts/make_flat2fluent.py --paired --out PAIRED`. The batches that fit into the time are measured
first, so that runs may be stopped and taken up again. What is trained stands in experiments/methods/variants.yaml.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from torch import Tensor

from diptych import load_translator
from diptych.images import to_image
from diptych.inference.evaluation import find_evaluation_data
from diptych.metrics import DEFAULT, TRANSLATED, Scores, evaluate
from diptych.metrics.registry import make_metrics
from diptych.translators.variants import make_source, translate_like

ROOT = Path(__file__).parents[1]
VARIANTS = ROOT / "experiments" / "methods" / "variants.yaml"
PROBE = 150  # batches that the speed is measured with
SIZES = {"method.schedule.epochs": 1, "method.schedule.decay_epochs": 1, "callbacks.finish.evaluation": "false"}
STYLES = {  # what is tabulated, and how it is written
    "name": "{}",
    "seed": "{}",
    "minutes": "{:g}",
    "batches": "{}",
    "batches per second": "{:.1f}",
    "peak MiB": "{:.0f}",
    "psnr": "{:.2f}",
    "ssim": "{:.4f}",
    "l1": "{:.4f}",
    "changed": "{:.4f}",
    "swd": "{:.4f}",
    "kid": "{:.4f}",
    "classified_b": "{:.1%}",
    "classified_neither": "{:.1%}",
}
COLUMNS = 10  # images of each method in the picture


@dataclass(frozen=True)
class Work:
    """How runs are started: the variants' words, folders, and the cores that each job gets."""

    words: dict[str, list[str]]
    out: Path
    threads: int

    def train(self, name: str, folder: Path, batches: int, seed: int, *more: str) -> float:
        """Run train.py to its end and return the peak memory of its process in MiB."""
        sizes = [f"{key}={value}" for key, value in SIZES.items()] + [f"data.epoch_size={batches // 2}"]
        command = [sys.executable, "train.py", *self.words[name], *sizes, f"seed={seed}", f"run_dir={folder}", *more]
        folder.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        with (folder.parent / f"{folder.name}.log").open("w") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"error: {name} failed; see {log.name}")
        return usage.ru_maxrss / 1024

    def measure_rate(self, name: str) -> float:
        """Return the batches that a variant trains in a second; measured once."""
        folder = self.out / "rates" / name
        if not (folder / "finished").exists():
            self.train(name, folder, PROBE, 0, "callbacks.data_report.every=25")
        with (folder / "speed.csv").open() as file:
            return statistics.median(float(row["images_per_second"]) for row in csv.DictReader(file))

    def run(self, name: str, seed: int, minutes: float) -> str:
        """Train a variant for its time, unless it has been; note what it took."""
        folder = self.out / f"{minutes:g}-minutes" / f"{name}-{seed}"
        if not (folder / "run.json").exists():
            rate = self.measure_rate(name)
            batches = max(2, round(minutes * 60 * rate))  # one for each half of the schedule at least
            memory = self.train(name, folder, batches, seed, "resume=auto")
            note = {"name": name, "seed": seed, "minutes": minutes, "batches per second": rate, "peak MiB": memory}
            (folder / "run.json").write_text(json.dumps(note, indent=1) + "\n")
        return folder.name


def read_variants(paired: Path | None) -> dict[str, list[str]]:
    """Return each variant's words; those that need pairs only where there are any."""
    content: Any = OmegaConf.to_container(OmegaConf.load(VARIANTS))
    words = {}
    for name, own in content["variants"].items():
        words[name] = [*content["common"], *_flatten(own)]
        if name in content["paired"]:
            if paired is None:
                del words[name]
            else:
                words[name].append(f"data.root={paired.resolve()}")
    return words


def _flatten(words: list[Any]) -> list[str]:
    return [flat for word in words for flat in ([word] if isinstance(word, str) else _flatten(word))]


def train(options: argparse.Namespace, console: Console) -> None:
    """Measure the speed of each variant, then train each."""
    work = Work(read_variants(options.paired), options.out, max(1, (os.cpu_count() or 1) // options.jobs))
    names = options.only.split(",") if options.only else list(work.words)
    if unknown := [name for name in names if name not in work.words]:
        raise SystemExit(f"error: --only {unknown[0]}: must be one of {', '.join(work.words)} (some need --paired)")
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, rate in zip(names, pool.map(work.measure_rate, names), strict=True):
            console.print(f"{name}: {rate:.2f} batches/s, {round(options.minutes * 60 * rate)} in the time")
        runs = [(name, seed, options.minutes) for seed in range(options.seeds) for name in names]
        for done in pool.map(lambda run: work.run(*run), runs):
            console.print(f"{done}: trained")


def measure(options: argparse.Namespace, console: Console) -> None:
    """Evaluate every finished run with one classifier; write results.json, the table, and a row for each method."""
    classifier, rows, pictures = None, [], []
    metrics = make_metrics(DEFAULT)
    for path in sorted(options.out.glob("*-minutes/*/run.json")):
        translator = load_translator(path.parent / "translators" / "ab.safetensors")
        data = find_evaluation_data(translator, ROOT / "data" / "flat2fluent")
        translate = partial(translate_like, translator)
        scores = evaluate({TRANSLATED: make_source(translator)}, data, metrics, classifier)
        classifier = classifier or scores.classifier
        note = json.loads(path.read_text()) | {"batches": translator.notes["iteration"]}
        rows.append(note | _to_plain(scores.columns[TRANSLATED]))
        shown = {
            domain: data.load(domain, data.test[domain][:: max(1, len(data.test[domain]) // COLUMNS)])
            for domain in "ab"
        }
        pictures.append((f"{note['name']} {note['seed']}, {note['minutes']:g} min", translate(shown["a"], shown["b"])))
    if classifier is None:
        raise SystemExit(f"error: {options.out} holds no finished run; train some first")
    anchors = {name: found for name, found in scores.columns.items() if name != TRANSLATED}
    rows += [{"name": name.replace("_", " ").replace(" b", " B")} | _to_plain(found) for name, found in anchors.items()]
    (options.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    console.print(f"classifier: {classifier.accuracy:.1%} right on real test images")
    print_table(rows, console)
    draw_rows([("input", shown["a"]), *pictures, ("truth", shown["b"])]).save(options.out / "methods.png")


def _to_plain(scores: Scores) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}


def print_table(rows: list[dict[str, Any]], console: Console) -> None:
    """Print a row for each run, in Markdown."""
    for index, row in enumerate([dict(zip(STYLES, STYLES, strict=True)), dict.fromkeys(STYLES, "---"), *rows]):
        cells = [row.get(key, "") for key in STYLES]
        styles = STYLES.values() if index > 1 else itertools.repeat("{}")
        texts = ["" if cell == "" else style.format(cell) for cell, style in zip(cells, styles, strict=False)]
        console.print(f"| {' | '.join(texts)} |", soft_wrap=True, highlight=False)


def draw_rows(rows: list[tuple[str, Tensor]]) -> Image.Image:
    """Draw titled rows of images."""
    side, left = rows[0][1].shape[-1] + 2, 170
    sheet = Image.new("RGB", (left + side * len(rows[0][1]), side * len(rows)), "white")
    font, drawing = ImageFont.load_default(size=11), ImageDraw.Draw(sheet)
    for row, (title, images) in enumerate(rows):
        drawing.text((4, row * side + side // 2 - 6), title, fill="black", font=font)
        for column, image in enumerate(images):
            sheet.paste(to_image(image), (left + column * side, row * side))
    return sheet


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=["train", "measure"])
    parser.add_argument("--out", type=Path, required=True, help="where the runs lie")
    parser.add_argument("--paired", type=Path, help="the same emoji with pairs, for methods that need them")
    parser.add_argument("--minutes", type=float, default=10, help="of training, for each run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each variant")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on its share of the cores")
    parser.add_argument("--only", help="names of variants, with commas between them")
    options = parser.parse_args()
    {"train": train, "measure": measure}[options.do](options, Console(width=120))


if __name__ == "__main__":
    main()
