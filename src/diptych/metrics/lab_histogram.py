"""How far the colours of two sets of images are from each other, wherever in the images they are.

Wasserstein Barycenter and its Application to Texture Mixing. Rabin, Peyré, Delon, Bernot. 2011 (the distance).
Colours are CIELAB's (CIE 1976), in which distances are about as the eye sees them.
"""

from kornia.color import rgb_to_lab
from torch import Tensor

from diptych.images import to_unit
from diptych.metrics.metric import Batch, Metric, Score
from diptych.metrics.sliced import Sliced, draw_directions, measure_sliced

_PIXELS, _PIXELS_OF_ALL = 256, 1 << 16  # of each image and of all of a set, drawn at random
_DIRECTIONS = 48
_MEAN_LENGTH = 0.5  # of a vector of length one along a random direction in three dimensions


class LabHistogram(Metric):
    """The sliced Wasserstein distance of colours: all shifted by one of CIELAB's units are one apart."""

    name = "lab_histogram"
    title = "colours (CIELAB)"
    unit = "ΔE"
    form = "{:.2f}"
    needs = frozenset({"reals", "rgb"})

    def describe(self, batch: Batch) -> Tensor:
        """Return colours of each image, N×P×3."""
        images = batch.outputs.float().flatten(2).expand(-1, 3, -1)
        places = batch.draw_places(images.shape[2], _PIXELS, _PIXELS_OF_ALL)
        chosen = images.gather(2, places[:, None].expand(-1, 3, -1).to(images.device))
        return rgb_to_lab(to_unit(chosen)[..., None])[..., 0].transpose(1, 2)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        return self.score(rows, reals).value

    def score(self, rows: Tensor, reals: Tensor, interval: bool = True) -> Score:
        found = _measure(rows, reals)
        return Score(found.value / _MEAN_LENGTH, found.deviation / _MEAN_LENGTH, len(rows))


def _measure(rows: Tensor, reals: Tensor) -> Sliced:
    found = measure_sliced(rows.flatten(0, 1), reals.flatten(0, 1), draw_directions(3, _DIRECTIONS), order=1)
    return found.average_groups(len(rows), len(reals))
