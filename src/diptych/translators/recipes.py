"""Known settings of the optimisation of Gatys et al."""

from typing import Literal

from diptych.errors import UserError
from diptych.losses import Content, GramStyle, StyleTransferLoss, TotalVariation
from diptych.networks import Vgg
from diptych.translators.encoders import load_encoder
from diptych.translators.gatys import GatysTranslator

Recipe = Literal["plain", "classic"]
CLASSIC_LAYERS = {f"conv{block}_1": 0.2 for block in range(1, 6)}


def make_gatys(recipe: Recipe, encoder: str, content: str | None = None, **settings: object) -> GatysTranslator:
    """Return the optimisation that a recipe describes, with an encoder by the words of `load_encoder`.

    `classic` is that of most tutorials: content at conv5_2 weighted 0.025, style shared by five layers, total variation
    1e-4, sums on pixels from 0 to 255. `plain` works with means on an encoder of mean activation one.
    """
    if recipe == "classic":
        vgg = load_encoder(encoder, rescale=False, preprocessing="caffe")
        if not isinstance(vgg, Vgg) or vgg.kind == "small":
            raise UserError(f"--encoder {encoder}: the classic recipe is made for VGG-19; --recipe plain takes any")
        terms = Content({content or "conv5_2": 1.0}, vgg, "gatys"), GramStyle(CLASSIC_LAYERS, vgg, "gatys")
        loss = StyleTransferLoss(*terms, TotalVariation(2.5, total=True))
        weights = {"content": 0.025, "style": 1.0, "total_variation": 1e-4}
    elif recipe == "plain":
        looks = load_encoder(encoder)
        content_loss = Content({content: 1.0} if content else None, looks)
        loss = StyleTransferLoss(content_loss, GramStyle(None, looks), TotalVariation())
        weights = {"content": 1.0, "style": 10.0, "total_variation": 0.1}
    else:
        raise UserError(f"--recipe {recipe}: must be one of plain, classic")
    return GatysTranslator(loss, weights, **settings)  # type: ignore[arg-type]
