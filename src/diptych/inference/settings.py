"""How files are translated: what is asked of the translator, and what is done around it."""

from dataclasses import dataclass, replace

from diptych.errors import UserError
from diptych.images.form import MAX_PIXELS
from diptych.inference.controls import FULL, Controls
from diptych.inference.masks import Masks
from diptych.inference.styles import Styles
from diptych.translators import Translator


@dataclass(frozen=True)
class Settings:
    """What a person turns; the same for `diptych translate` and `diptych stylize`.

    With `size` the shorter side is brought to that many pixels first and the result keeps that size; with `keep_alpha`
    the transparency that an image had is put back; `every` so many steps the image on the way is kept. With `strengths`
    each image becomes a grid: a row for each style by itself, a column for each strength.
    """

    controls: Controls = FULL
    styles: Styles | None = None
    seed: int | None = None
    steps: int | None = None
    masks: Masks | None = None
    strengths: tuple[float, ...] = ()
    batch_size: int = 4
    size: int | None = None
    keep_alpha: bool = False
    max_pixels: int = MAX_PIXELS
    every: int | None = None

    def check(self, translator: Translator) -> None:
        """Raise `UserError` for the first thing that the translator does not take or allow."""
        in_steps = self.steps is not None or self.every is not None
        translator.require(style=self.styles is not None, seed=self.seed is not None, steps=in_steps)
        weakest, styles = min((self.controls.strength, *self.strengths)), self.styles
        has_style_image = styles is not None and styles.holds_images
        controls = replace(self.controls, strength=weakest)
        controls.check(translator.input, translator.output, self.masks is not None, has_style_image)
        if self.strengths and (styles is None or self.every is not None or self.controls.strength < 1):
            reason = "needs styles" if styles is None else "shows several results: leave every and strength out"
            raise UserError(f"a grid {reason}")

    def fits_engines(self, translator: Translator) -> bool:
        """Whether all that is asked of the network is one pass over the content, which any engine can run."""
        asked = self.styles is not None or self.seed is not None
        own_strength = translator.controls_strength and self.controls.strength < 1
        return not (asked or own_strength or translator.takes_seed or translator.takes_steps)

    def choose_batch_size(self, translator: Translator) -> int:
        """Return how many images are translated together: one, where together they would come out otherwise."""
        # Noise would depend on an image's place in the batch.
        draws = translator.takes_seed and (self.styles is None or translator.takes_steps)
        differs = self.styles is not None and self.styles.differs_by_content
        alone = draws or differs or bool(self.strengths) or not translator.takes_batches
        return 1 if alone else self.batch_size
