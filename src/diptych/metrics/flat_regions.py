"""What becomes of regions in which the input is of one colour, or white: ghosts, mottling and tints show there."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.images import to_unit
from diptych.metrics.metric import Batch, Metric
from diptych.metrics.symptom import Symptom

_WHITE = 0.98  # of the range 0…1
_NEIGHBOURHOOD = 7  # pixels: within it a place is flat or white
_FLAT, _SMOOTH = 0.02, 0.1  # what the grey of a neighbourhood spans: of one colour, or softly shaded at the most
_ENOUGH = 0.05  # the share of white places from which on a domain is one that has white areas
_FEWEST = 64  # places, or nothing is said of them
_FINEST = 1e-3  # roughness of the range 0…1 that nobody sees


class Roughness(Metric):
    """How rough outputs are where the input is flat, over how rough real images of B are where they are smooth.

    Roughness is the mean absolute Laplacian of the grey image. White places do not count, for those of drawings are
    many and say nothing of the rest; NaN where flat or smooth places are too few.
    """

    name = "roughness"
    title = "roughness of flat regions (over {b})"
    form = "{:.2f}"
    needs = frozenset({"input", "reals"})
    symptom = Symptom(
        1.6,
        "flat regions come out mottled; train longer, or lower the adversarial weight, or add +extra=total_variation",
    )

    def describe(self, batch: Batch) -> Tensor:
        """Return the sum of the Laplacian at flat places and their number, N×2."""
        assert batch.inputs is not None
        return _sum_up(batch.outputs, (_span(batch.inputs) < _FLAT) & ~_find_white(batch.inputs))

    def describe_reals(self, batch: Batch) -> Tensor:
        """Return the same of smooth places."""
        return _sum_up(batch.outputs, (_span(batch.outputs) < _SMOOTH) & ~_find_white(batch.outputs))

    def rate(self, rows: Tensor) -> Tensor:
        """Return each image's roughness of flat places."""
        rough, flat = rows.unbind(1)
        return (rough / flat).where(flat >= _FEWEST, math.nan)

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        (rough, flat), (usual, smooth) = rows.double().sum(0).tolist(), reals.double().sum(0).tolist()
        if min(flat, smooth) < _FEWEST:
            return math.nan
        return float(rough / flat / max(usual / smooth, _FINEST))


class WhiteTint(Metric):
    """The colour (largest channel less smallest, of the range 0…1) of outputs in the midst of the input's white.

    The median over images of each one's mean: where shapes grow, as they may, some white is rightly painted over. NaN
    where images are not RGB, or where the inputs or the real images of B have hardly any white areas.
    """

    name = "white_tint"
    title = "tint of white regions"
    needs = frozenset({"input", "reals"})
    symptom = Symptom(
        0.015, "white comes out tinted; train longer, or hold colours: +extra=low_resolution or identity terms"
    )

    def describe(self, batch: Batch) -> Tensor:
        """Return the mean colour of white places, NaN where they are few, and their share: N×2."""
        assert batch.inputs is not None
        white = _shrink(_find_white(batch.inputs))
        count = white.flatten(1).sum(1)
        if batch.outputs.shape[1] != 3:
            return torch.full((len(count), 2), math.nan)
        colour = to_unit(batch.outputs.amax(1, keepdim=True)) - to_unit(batch.outputs.amin(1, keepdim=True))
        mean = (colour * white).flatten(1).sum(1) / count
        return torch.stack([mean.where(count >= _FEWEST, math.nan), white.flatten(1).float().mean(1)], 1)

    def describe_reals(self, batch: Batch) -> Tensor:
        """Return the share of white places, N."""
        return _shrink(_find_white(batch.outputs)).flatten(1).float().mean(1)

    def rate(self, rows: Tensor) -> Tensor:
        """Return each image's colour of white places."""
        return rows[:, 0]

    def compare(self, rows: Tensor, reals: Tensor) -> float:
        colour, share = rows.unbind(1)
        if not min(float(share.mean()), float(reals.mean())) >= _ENOUGH:
            return math.nan
        return float(colour.nanmedian())


def _sum_up(images: Tensor, places: Tensor) -> Tensor:
    rough = _measure_laplacian(images) * places
    return torch.stack([rough.flatten(1).sum(1), places.flatten(1).sum(1)], 1)


def _find_white(images: Tensor) -> Tensor:
    return to_unit(images.amin(1, keepdim=True)) > _WHITE


def _shrink(places: Tensor) -> Tensor:
    """Keep the places (N×1×H×W, true or false) whose whole neighbourhood is true."""
    return _max_nearby((~places).float()) < 0.5


def _span(images: Tensor) -> Tensor:
    """Return how far the grey (0…1) of each neighbourhood reaches, N×1×H×W."""
    grey = to_unit(images.mean(1, keepdim=True))
    return _max_nearby(grey) + _max_nearby(-grey)


def _max_nearby(images: Tensor) -> Tensor:
    return F.max_pool2d(images, _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2)


def _measure_laplacian(images: Tensor) -> Tensor:
    """Return |pixel - mean of its eight neighbours| of the grey image (0…1), N×1×H×W."""
    grey = F.pad(to_unit(images.mean(1, keepdim=True)), (1, 1, 1, 1), mode="replicate")
    return (grey[..., 1:-1, 1:-1] - F.avg_pool2d(grey, 3, 1)).abs() * 9 / 8
