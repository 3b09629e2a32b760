"""The failures that users of GANs know, each as a number with a threshold and a sentence.

All take N×C×H×W images in [-1, 1] and need no truth.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.images import to_unit

_NOISE = 0.02  # of the range -1…1: invisible, yet it wipes out what a generator hides in faint patterns
_WHITE = 0.98  # of the range 0…1
_NEIGHBOURHOOD = 7  # pixels: within it a place is flat or white
_FLAT, _SMOOTH = 0.02, 0.1  # what the grey of a neighbourhood spans: of one colour, or softly shaded at the most
_ENOUGH = 0.05  # the share of white places from which on a domain is one that has white areas
_FEWEST = 64  # places, or nothing is said of them
_FINEST = 1e-3  # roughness of the range 0…1 that nobody sees


@dataclass(frozen=True)
class Symptom:
    """What a number says when it is beyond its threshold."""

    threshold: float
    above: bool
    message: str

    def shows(self, value: float) -> bool:
        """Whether the value is beyond the threshold; a NaN never is."""
        return value > self.threshold if self.above else value < self.threshold


SYMPTOMS = {
    "discriminator_auc": Symptom(
        0.995,
        True,
        "the discriminator always wins: its logits teach little; weaken it, or add a penalty",
    ),
    "output_variation": Symptom(
        0.1, False, "the outputs hardly differ from each other: the generator has collapsed; lower its learning rate"
    ),
    "saturation": Symptom(
        0.3, True, "far more output pixels are pure black or white than in domain B: tanh is saturated"
    ),
    "change": Symptom(
        0.01, False, "the outputs equal the inputs: the generator copies; lower identity and cycle weights"
    ),
    "luminance_correlation": Symptom(
        -0.2,
        False,
        "light and dark have changed places; train with identity terms or another seed",
    ),
    "hidden_information": Symptom(
        3.0, True, "the cycle breaks when faint noise is added: the generator hides the input in its output"
    ),
    "checkerboard": Symptom(
        3.0, True, "the outputs carry a checkerboard; generator.upsampling=resize or antialias avoids it"
    ),
    "roughness": Symptom(
        1.6,
        True,
        "flat regions come out mottled; train longer, or lower the adversarial weight, or add +extra=total_variation",
    ),
    "white_tint": Symptom(
        0.015, True, "white comes out tinted; train longer, or hold colours: +extra=low_resolution or identity terms"
    ),
}


def measure_auc(real: Tensor, fake: Tensor) -> float:
    """Return the share of pairs in which a real image's mean logit exceeds a fake one's (0.5 is chance)."""
    reals, fakes = real.flatten(1).mean(1), fake.flatten(1).mean(1)
    return float((reals[:, None] > fakes[None]).float().mean())


def measure_variation(fakes: Tensor, reals: Tensor) -> float:
    """Return the deviation across fakes over that across real images of the same domain; NaN where there is one."""
    if min(len(fakes), len(reals)) < 2:
        return math.nan
    return float(fakes.std(0).mean() / reals.std(0).mean().clamp_min(1e-6))


def measure_saturation(fakes: Tensor, reals: Tensor) -> float:
    """Return how much larger the share of pixels at either end of the range is than in real images."""
    return float((fakes.abs() > 0.99).float().mean() - (reals.abs() > 0.99).float().mean())


def measure_change(fakes: Tensor, inputs: Tensor) -> float:
    """Return the mean distance of outputs and inputs, of the range 0…1."""
    return float((fakes - inputs).abs().mean() / 2)


def measure_luminance_correlation(fakes: Tensor, inputs: Tensor) -> float:
    """Return the mean correlation of an output's luminance with its input's."""
    pair = [images.mean(1).flatten(1) for images in (fakes, inputs)]
    one, other = (images - images.mean(1, keepdim=True) for images in pair)
    norms = (one.norm(dim=1) * other.norm(dim=1)).clamp_min(1e-6)
    return float(((one * other).sum(1) / norms).mean())


def measure_hidden_information(fakes: Tensor, inputs: Tensor, back: Callable[[Tensor], Tensor]) -> float:
    """Return the cycle's error with faint noise on the fake over its error without (Chu et al. 2017)."""
    noise = torch.randn(fakes.shape, generator=torch.Generator().manual_seed(0)).to(fakes)
    clean, noisy = (float((back(image) - inputs).abs().mean()) for image in (fakes, fakes + _NOISE * noise))
    return noisy / max(clean, 1e-3)


def measure_checkerboard(fakes: Tensor, reals: Tensor) -> float:
    """Return the spectral energy at periods of two and four pixels, over that of real images.

    The energy at exactly these frequencies is taken relative to that around them, which natural images have too.
    """
    return _measure_peaks(fakes) / max(_measure_peaks(reals), 1e-6)


def _measure_peaks(images: Tensor) -> float:
    height, width = (side - side % 4 for side in images.shape[-2:])
    if min(height, width) < 16:
        return 1.0
    spectrum = torch.fft.fft2(images[..., :height, :width].mean(1)).abs().square().mean(0)
    peaks, around = [], []
    for row, column in ((0, 2), (2, 0), (2, 2), (0, 1), (1, 0), (1, 1)):
        top, left = row * height // 4, column * width // 4
        peaks.append(spectrum[top, left])
        rows, columns = [(top + d) % height for d in (-2, -1, 1, 2)], [(left + d) % width for d in (-2, -1, 1, 2)]
        around.append(spectrum[rows][:, columns].mean())
    return float((torch.stack(peaks) / torch.stack(around).clamp_min(1e-6)).mean())


def measure_roughness(fakes: Tensor, inputs: Tensor, reals: Tensor) -> float:
    """Return how rough fakes are where the input is flat, over how rough real images are where they are smooth.

    Roughness is the mean absolute Laplacian of the grey image. White places do not count, for those of drawings are
    many and say nothing of the rest; NaN where flat or smooth places are too few.
    """
    flat = (_span(inputs) < _FLAT) & ~_find_white(inputs)
    smooth = (_span(reals) < _SMOOTH) & ~_find_white(reals)
    if min(int(flat.sum()), int(smooth.sum())) < _FEWEST:
        return math.nan
    return float(_measure_laplacian(fakes)[flat].mean() / _measure_laplacian(reals)[smooth].mean().clamp_min(_FINEST))


def measure_white_tint(fakes: Tensor, inputs: Tensor, reals: Tensor) -> float:
    """Return the colour (largest channel less smallest, of the range 0…1) of fakes in the midst of the input's white.

    The median over images of each one's mean: where shapes grow, as they may, some white is rightly painted over. NaN
    where images are not RGB, or where the input or the real images of the fakes' domain have hardly any white areas.
    """
    white, usual = (_shrink(_find_white(images)) for images in (inputs, reals))
    counts = white.flatten(1).sum(1)
    if fakes.shape[1] != 3 or min(float(white.float().mean()), float(usual.float().mean())) < _ENOUGH:
        return math.nan
    colour = to_unit(fakes.amax(1, keepdim=True)) - to_unit(fakes.amin(1, keepdim=True))
    means = (colour * white).flatten(1).sum(1)[counts >= _FEWEST] / counts[counts >= _FEWEST]
    return float(means.median()) if len(means) else math.nan


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
