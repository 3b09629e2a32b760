"""Images and styles from files, made into one picture, by optimisation or by a network that takes styles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from diptych.errors import UserError
from diptych.images import PICTURE, Picture, draw_grid, load_image, normalise
from diptych.inference.controls import Controls, transfer_colours
from diptych.inference.device import settle
from diptych.inference.masks import load_mask, to_share
from diptych.losses import Content, GramStyle, Perceptual, TotalVariation
from diptych.losses.style_transfer import Look, Style, check_styles
from diptych.networks import StyleNetwork, Vgg
from diptych.networks.statistics import fit_code
from diptych.translators import Translator, load_encoder
from diptych.translators.gatys import Gatys, Progress

Recipe = Literal["plain", "classic"]
CLASSIC_LAYERS = {f"conv{block}_1": 0.2 for block in range(1, 6)}


@dataclass(frozen=True)
class StyleFile:
    """A style as it is asked for: an image's file, its weight, and the file of a mask."""

    path: Path
    weight: float = 1.0
    mask: Path | None = None

    @classmethod
    def parse(cls, text: str) -> "StyleFile":
        """Read `FILE` or `FILE:WEIGHT`; a name that ends like a weight is taken as it is where there is such a file."""
        name, colon, number = text.rpartition(":")
        if not colon or Path(text).exists():
            return cls(Path(text))
        try:
            return cls(Path(name), float(number))
        except ValueError:
            return cls(Path(text))


def make_gatys(recipe: Recipe, encoder: str, content: str | None = None, **settings: object) -> Gatys:
    """Return the optimisation that a recipe describes, with an encoder by the words of `load_encoder`.

    `classic` is that of most tutorials: content at conv5_2 weighted 0.025, style shared by five layers, total variation
    1e-4, sums on pixels from 0 to 255. `plain` works with means on an encoder of mean activation one.
    """
    if recipe == "classic":
        vgg = load_encoder(encoder, rescale=False, preprocessing="caffe")
        if not isinstance(vgg, Vgg) or vgg.kind == "small":
            raise UserError(f"--encoder {encoder}: the classic recipe is made for VGG-19; --recipe plain takes any")
        style: Perceptual = GramStyle(CLASSIC_LAYERS, vgg, "gatys")
        look = Look(Content({content or "conv5_2": 1.0}, vgg, "gatys"), style, TotalVariation(2.5, total=True))
        weights = {"content": 0.025, "style": 1.0, "total_variation": 1e-4}
    elif recipe == "plain":
        vgg = load_encoder(encoder)
        look = Look(Content({content: 1.0} if content else None, vgg), GramStyle(None, vgg), TotalVariation())
        weights = {"content": 1.0, "style": 10.0, "total_variation": 0.1}
    else:
        raise UserError(f"--recipe {recipe}: must be one of plain, classic")
    return Gatys(look, weights, **settings)  # type: ignore[arg-type]


def read_styles(files: Sequence[StyleFile], content: Tensor, scale: float, controls: Controls) -> list[Style]:
    """Read the styles, each so large that its shorter side is `scale` times the content's, and their masks."""
    if not scale > 0:
        raise UserError(f"--style-scale {scale:g}: must be above 0")
    side = max(1, round(scale * min(content.shape[-2:])))
    styles = []
    for file in files:
        image = _to_tensor(load_image(file.path, PICTURE).scale_shorter_side(side)).to(content)
        if controls.colours == "transfer":
            image = transfer_colours(image, content)
        mask = None
        if file.mask is not None:
            mask = to_share(load_mask(file.mask).resize(*content.shape[-2:]))[None].to(content)
        styles.append(Style(image, file.weight, mask))
    return styles


class Stylizer:
    """Pictures in the styles of files, by optimisation or by a network that takes styles.

    A style is `scale` times as large as the content. A network's code of a file is kept for the next picture of a size.
    """

    def __init__(
        self, means: Gatys | Translator, controls: Controls, scale: float = 1.0, device: torch.device | None = None
    ) -> None:
        self.means, self.controls, self.scale, self.device = means, controls, scale, device or torch.device("cpu")
        if isinstance(means, Translator):
            if not isinstance(means.network, StyleNetwork):
                raise UserError(f"{means.title}: this translator takes no style; diptych translate applies it")
            settle(means.network, self.device)
        self._codes: dict[tuple[Path, torch.Size], Tensor] = {}

    def __call__(
        self, picture: Picture, files: Sequence[StyleFile], watch: Callable[[Progress], None] = lambda progress: None
    ) -> Tensor:
        """Return a 1×3×H×W result for a picture; each step of an optimisation is watched."""
        content = _to_tensor(picture).to(self.device)
        styles = read_styles(files, content, self.scale, self.controls)
        if isinstance(self.means, Gatys):
            image = content
            for progress in self.means.run(content, styles):
                image = progress.image
                watch(progress)
            return self.controls.apply(content, image)
        check_styles(content, styles)
        network = self.means.network
        assert isinstance(network, StyleNetwork)
        with torch.inference_mode():
            codes = [self._describe(network, file.path, style.image) for file, style in zip(files, styles, strict=True)]
            painted = paint_in_codes(network, content, styles, self.controls.strength, codes)
        return replace(self.controls, strength=1.0).apply(content, painted)

    def _describe(self, network: StyleNetwork, path: Path, image: Tensor) -> Tensor:
        if self.controls.colours == "transfer":  # another image for each content
            return network.encode_style(image)
        key = path, image.shape
        if key not in self._codes:
            self._codes[key] = network.encode_style(image)
        return self._codes[key]


def paint_in_codes(
    network: StyleNetwork,
    content: Tensor,
    styles: Sequence[Style],
    strength: float = 1.0,
    codes: Sequence[Tensor] | None = None,
) -> Tensor:
    """Paint 1×3×H×W content in several styles by their weights and masks, in [-1, 1]; `codes` if they are known.

    Below full strength, and where masks leave a place to no style, codes are mixed with the content's own, and what the
    network loses of an image by itself is put back in proportion, so that strength 0 and a black mask are the content;
    where no code leaves images as they are, the images are mixed.
    """
    sides = [-(-side // network.stride) for side in content.shape[-2:]]
    masks = [_find_share(style.mask, (sides[0], sides[1])).to(content) for style in styles]
    total = sum(style.weight * mask for style, mask in zip(styles, masks, strict=True))
    shares = [style.weight * mask / (total + 1e-6) for style, mask in zip(styles, masks, strict=True)]
    amount = strength * sum(masks[1:], start=masks[0]).clamp(max=1)
    codes = codes or [network.encode_style(style.image) for style in styles]
    if bool((amount == 1).all()):
        return network.paint(content, codes, shares).clamp(-1, 1)
    own = network.encode_content(content)
    whole = fit_code(amount, content)
    if own is None:
        rest = 1 - sum(shares[1:], start=shares[0])  # something must be painted everywhere, if only to be covered
        painted = content.lerp(network.paint(content, [*codes, network.usual], [*shares, rest]), whole)
    else:
        painted = network.paint(content, [own, *codes], [1 - amount, *(amount * share for share in shares)])
        painted = painted + (1 - whole) * (content - network(content, own))
    return painted.clamp(-1, 1)


def _find_share(mask: Tensor | None, size: tuple[int, int]) -> Tensor:
    return torch.ones(1, 1, 1, 1) if mask is None else adaptive_avg_pool2d(mask, size)


def paint_grid(
    paint: Callable[[StyleFile], Tensor], picture: Picture, files: Sequence[StyleFile], strengths: Sequence[float]
) -> Image:
    """Draw a row for each style: the style, then what `paint` makes of the picture with it, at several strengths."""
    content = _to_tensor(picture)
    results = torch.cat([paint(file).cpu() for file in files])
    styles = [load_image(file.path).resize(picture.height, picture.width) for file in files]
    columns = [(f"{strength:g}", Controls(strength).apply(content, results)) for strength in strengths]
    return draw_grid([("style", torch.cat([_to_tensor(style) for style in styles])), *columns])


def _to_tensor(picture: Picture) -> Tensor:
    return normalise(picture.to_tensor()[None])
