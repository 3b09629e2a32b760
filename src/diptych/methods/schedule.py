"""How long training lasts and how the learning rate falls: pure functions of the images seen."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from diptych.arguments import Range, require_annotated
from diptych.errors import UserError

Shape = Literal["linear", "cosine", "step"]
Epochs = Annotated[int, Range(0, 1_000_000)]


@dataclass(frozen=True)
class Schedule:
    """A constant rate for `epochs`, then a falling one for `decay_epochs`.

    `linear` falls at the end of each epoch, as Zhu et al. 2017 (section 7.1) do; `cosine` falls to zero
    along half a wave; `step` multiplies by `gamma` every `step_epochs` from the start.
    """

    place: ClassVar[str] = "method.schedule"
    epochs: Epochs = 100
    decay_epochs: Epochs = 100
    shape: Shape = "linear"
    step_epochs: Annotated[int, Range(1, 1_000_000)] = 50
    gamma: Annotated[float, Range(0, 1)] = 0.1

    def __post_init__(self) -> None:
        require_annotated(self, vars(self), Schedule)
        if self.total_epochs < 1:
            raise UserError("method.schedule.epochs and decay_epochs = 0: together they must be at least 1")

    @property
    def total_epochs(self) -> int:
        """The length of training in epochs."""
        return self.epochs + self.decay_epochs

    def factor(self, images_seen: int, images_per_epoch: int) -> float:
        """Return what the initial learning rate is multiplied by after `images_seen` images."""
        epoch = images_seen // images_per_epoch
        if self.shape == "step":
            return float(self.gamma ** (epoch // self.step_epochs))
        # Epoch k = epoch + 1 takes k - epochs of decay + 1 equal steps; the last, to zero, would begin one epoch more.
        fallen = max(0, epoch + 1 - self.epochs) / (self.decay_epochs + 1)
        return max(0.0, 1 - fallen) if self.shape == "linear" else 0.5 * (1 + math.cos(math.pi * min(1.0, fallen)))
