"""How alike the styles of images are: distances of the statistics that style losses look at."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import normalize

from diptych.files import write_text
from diptych.images import load_image, normalise, to_image, write_image
from diptych.losses import GramStyle
from diptych.losses.perceptual import measure_moments
from diptych.networks import Encoder

KINDS = ("euclidean", "cosine", "gram")
_CELL, _EDGE = 72, 8  # pixels
_ALIKE, _UNLIKE = (20, 60, 110), (245, 240, 225)  # colours
_EXACT = "donot_use_mm_for_euclid_dist"


@dataclass(frozen=True)
class Similarity:
    """Distances of every image to every other, N×N by kind; 0 is the same style.

    `euclidean` and `cosine` compare the means and deviations of all channels of the style layers, `gram` their Gram
    matrices, as the style loss of Gatys et al. does.
    """

    paths: list[Path]
    thumbnails: list[Tensor]
    distances: dict[str, Tensor]

    def find_nearest(self, kind: str = "gram") -> list[int]:
        """Return for each image the number of the other that is most like it."""
        apart = self.distances[kind].clone().fill_diagonal_(float("inf"))
        return apart.argmin(1).tolist()

    def save(self, out: Path) -> None:
        """Write similarity.csv, a row for each pair, and similarity.png, a matrix for each kind."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["one", "other", *KINDS])
        for i, one in enumerate(self.paths):
            for j, other in enumerate(self.paths[:i]):
                writer.writerow([one, other, *(f"{float(self.distances[kind][i, j]):.6g}" for kind in KINDS)])
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "similarity.csv", text.getvalue())
        write_image(draw_matrices(self), out / "similarity.png")


def compare_styles(paths: Sequence[Path], encoder: Encoder, size: int = 256) -> Similarity:
    """Return how alike the styles of at least two images are, each looked at with its shorter side of `size` pixels."""
    loss = GramStyle(None, encoder)
    layers, weights = tuple(loss.layers), list(loss.layers.values())
    moments, grams, thumbnails = [], [], []
    for path in paths:
        image = normalise(load_image(path).scale_shorter_side(size).to_tensor()[None])
        with torch.no_grad():
            features = encoder(image, layers)
        moments.append(torch.cat([torch.cat(measure_moments(features[name]), 1) for name in layers], 1)[0])
        grams.append([loss.describe(features[name], 1) for name in layers])
        thumbnails.append(_shrink(image)[0])
    vectors = torch.stack(moments)
    gram = torch.zeros(len(paths), len(paths))
    for i, one in enumerate(grams):
        for j, other in enumerate(grams[:i]):
            terms = [w * loss.measure(a, b) for w, a, b in zip(weights, one, other, strict=True)]
            gram[i, j] = gram[j, i] = torch.stack(terms).sum()
    unit = normalize(vectors, dim=1)
    cosine = (1 - unit @ unit.T).clamp_min(0).fill_diagonal_(0)
    distances = {"euclidean": torch.cdist(vectors, vectors, compute_mode=_EXACT), "cosine": cosine, "gram": gram}
    return Similarity(list(paths), thumbnails, distances)


def draw_matrices(similarity: Similarity) -> Image.Image:
    """Draw a matrix for each kind beside the next, thumbnails along its edges; the darker the more alike."""
    count = len(similarity.paths)
    side = (count + 1) * _CELL
    sheet = Image.new("RGB", (len(KINDS) * (side + _EDGE), side + 20), "white")
    drawing, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, kind in enumerate(KINDS):
        left, distances = number * (side + _EDGE), similarity.distances[kind]
        shares = distances / distances.max().clamp_min(1e-30)
        drawing.text((left + 4, side + 3), kind, fill="black", font=font)
        for i, thumbnail in enumerate(similarity.thumbnails, 1):
            picture = to_image(thumbnail).resize((_CELL - 2, _CELL - 2))
            sheet.paste(picture, (left + i * _CELL, 0))
            sheet.paste(picture, (left, i * _CELL))
        for i in range(count):
            for j in range(count):
                share = float(shares[i, j])
                x, y = left + (j + 1) * _CELL, (i + 1) * _CELL
                colour = tuple(round(low + (high - low) * share) for low, high in zip(_ALIKE, _UNLIKE, strict=True))
                drawing.rectangle((x, y, x + _CELL - 3, y + _CELL - 3), fill=colour)
                ink = "white" if share < 0.5 else "black"
                drawing.text((x + 4, y + _CELL // 2 - 8), f"{float(distances[i, j]):.3g}", fill=ink, font=font)
    return sheet


def _shrink(image: Tensor) -> Tensor:
    """Return the middle square, as large as a thumbnail."""
    side = min(image.shape[-2:])
    top, left = ((length - side) // 2 for length in image.shape[-2:])
    square = image[..., top : top + side, left : left + side]
    return torch.nn.functional.interpolate(square, size=(_CELL, _CELL), mode="bilinear", antialias=True)
