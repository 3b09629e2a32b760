"""Live progress of the whole run: images per second, time left, every loss by name."""

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from diptych.arguments import Positive
from diptych.methods import Method
from diptych.terminal import clean, make_console, make_progress, say
from diptych.training.run_log import copy_stream, note, stamp


class RunProgress(ProgressBar):
    """One bar for the run with the losses below it; a plain line now and then where there is no terminal."""

    def __init__(self, refresh_seconds: Positive = 1.0, line_seconds: Positive = 20.0) -> None:
        super().__init__()
        self._console = make_console()
        self._refresh = refresh_seconds if self._console.is_terminal else line_seconds
        self._line_seconds = line_seconds
        self._bar = make_progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} images · {task.fields[speed]:.1f} images/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._live = Live(console=self._console, auto_refresh=False)
        self._last: tuple[float, int] = (0.0, 0)
        self._last_line = 0.0
        self._enabled = True

    def disable(self) -> None:
        """Say nothing (the other processes of a distributed run)."""
        self._enabled = False

    def enable(self) -> None:
        """Speak again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the display."""
        assert isinstance(pl_module, Method)
        super().on_train_start(trainer, pl_module)
        batches = (trainer.max_epochs or 1) * trainer.num_training_batches
        per_batch = pl_module.images_per_epoch / max(1, len(trainer.train_dataloader or ()))
        total = max(round(batches * per_batch), pl_module.images_seen)
        self._task = self._bar.add_task("train", total=total, epoch="1", speed=0.0)
        self._last = (time.monotonic(), pl_module.images_seen)
        self._last_line = self._last[0]
        if self._enabled:
            for line in _introduce(trainer, pl_module):
                say(line)
        if self._enabled and self._console.is_terminal:
            self._live.start()
            sys.stdout, sys.stderr = copy_stream(sys.stdout), copy_stream(sys.stderr)  # what is printed above it

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Show where the run is, but not more often than people read."""
        assert isinstance(pl_module, Method)
        now, (then, images) = time.monotonic(), self._last
        if not self._enabled or now - then < self._refresh:
            return
        speed = (pl_module.images_seen - images) / (now - then)
        self._last = (now, pl_module.images_seen)
        epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._bar.update(self._task, completed=pl_module.images_seen, epoch=epoch, speed=speed)
        losses = {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}
        if self._console.is_terminal:
            self._live.update(Group(self._bar, _tabulate(losses)), refresh=True)
        if now - self._last_line >= self._line_seconds:
            self._last_line = now
            left = ((self._bar.tasks[0].total or 0) - pl_module.images_seen) / max(speed, 1e-9) / 60
            where = f"{stamp()} iteration {pl_module.iteration}, epoch {epoch}"
            self._say(f"{where}, {speed:.1f} images/s, {left:.1f} min left: {_join(losses)}")

    def _say(self, line: str) -> None:
        """Print a line, or where the display says it, write it into the log alone."""
        if self._console.is_terminal:
            note(line)
        else:
            say(line)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the display."""
        self._live.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self._live.stop()


def _introduce(trainer: Trainer, method: Method) -> list[str]:
    """Say in a few lines what is about to happen."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    domains = " ↔ ".join(f"{data.names[domain]} ({len(data.train_paths[domain])} images)" for domain in "ab")
    networks = ", ".join(
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
        for name, network in method.named_children()
    )
    where = f"{trainer.world_size} × {method.device.type}, {trainer.precision}"
    start = f"from iteration {method.iteration}" if method.iteration else "from scratch"
    length = "1 epoch" if trainer.max_epochs == 1 else f"{trainer.max_epochs} epochs"
    return [f"{type(method).__name__}: {domains}", f"weights: {networks}", f"{where}, {start}, {length}"]


def _join(losses: dict[str, float]) -> str:
    return " ".join(f"{name.removeprefix('generator/')} {value:.3f}" for name, value in losses.items())


def _tabulate(losses: dict[str, float]) -> Table:
    """One row per player: its losses by name."""
    table = Table.grid(padding=(0, 2))
    for player in dict.fromkeys(name.split("/")[0] for name in losses):
        own = {name.split("/")[1]: value for name, value in losses.items() if name.startswith(f"{player}/")}
        cells = [Text.assemble(f"{clean(name)} ", (f"{value:.3f}", "bold")) for name, value in own.items()]
        table.add_row(Text(clean(player), "cyan"), Text("  ").join(cells))
    return table
