"""What artists turn, for every kind of translator: how strong the effect is, whose colours it has, and where it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from torch import Tensor

from diptych.errors import UserError
from diptych.images import Form
from diptych.inference.colours import take_luminance
from diptych.translators import Progress, StyleLike, Translator

Colours = Literal["result", "luminance", "transfer"]
Watch = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Watch no step."""


@dataclass(frozen=True)
class Controls:
    """`strength` 0 gives the content back, 1 the full effect; between them codes are mixed, or else images.

    `colours`: those of the `result`; the content's, and of the result only its `luminance` (Gatys et al. 2017, section
    5.1); or a `transfer` of the content's to the styles beforehand, which is done where styles are read.
    """

    strength: float = 1.0
    colours: Colours = "result"

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength = {self.strength:g} must lie between 0 and 1")
        if self.colours not in get_args(Colours):
            raise UserError(f"colours = {self.colours} must be one of {', '.join(get_args(Colours))}")

    def check(self, content: Form, result: Form, masked: bool = False, styled: bool = False) -> None:
        """Raise `UserError` where a translator from one form to another cannot be controlled so.

        `masked`: there is a mask; `styled`: there is a style image.
        """
        turns = f"this translator turns {_describe(content)} into {_describe(result)}"
        if self.colours == "transfer" and not styled:
            raise UserError("colours = transfer: there is no style image to transfer them to; say luminance")
        if self.colours != "result" and any(form.channels != 3 or form.holds_numbers for form in (content, result)):
            raise UserError(
                f"colours = {self.colours}: {turns}, and only RGB pictures have colours to keep; say result"
            )
        if (masked or self.strength < 1) and (content.channels, content.range) != (result.channels, result.range):
            asked = "a mask" if self.strength == 1 else f"strength = {self.strength:g}"
            raise UserError(f"{asked}: {turns}, which cannot be mixed; leave it out")

    def translate(
        self,
        translator: Translator,
        content: Tensor,
        style: StyleLike | None = None,
        *,
        seed: int | None = None,
        steps: int | None = None,
        mask: Tensor | None = None,
        watch: Watch = ignore,
    ) -> Tensor:
        """Return what is asked for of N×C×H×W content's translation, where an N×1×H×W mask from 0 to 1 wants it."""
        inside = translator.controls_strength
        strength = self.strength if inside else 1.0
        for progress in translator.iterate(content, style, seed=seed, steps=steps, strength=strength):
            watch(progress)
        return (replace(self, strength=1.0) if inside else self).apply(content, progress.image, mask)

    def translate_at(
        self,
        strengths: Sequence[float],
        translator: Translator,
        content: Tensor,
        style: StyleLike | None = None,
        mask: Tensor | None = None,
        **options: Any,
    ) -> list[Tensor]:
        """Return what `translate`, whose options these are, gives at each strength.

        Where images are mixed, one translation serves all.
        """
        controls = [replace(self, strength=strength) for strength in strengths]
        if translator.controls_strength:
            return [one.translate(translator, content, style, mask=mask, **options) for one in controls]
        result = FULL.translate(translator, content, style, **options)
        return [one.apply(content, result, mask) for one in controls]

    def apply(self, content: Tensor, result: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what is asked for of a result, where an N×1×H×W mask from 0 to 1 wants it."""
        if mask is None and self.strength == 1 and self.colours != "luminance":
            return result
        content, result = content.to(result), result.clamp(-1, 1)
        if self.colours == "luminance":
            result = take_luminance(content, result)
        return content.lerp(result, self.strength if mask is None else self.strength * mask.to(result))


FULL = Controls()


def _describe(form: Form) -> str:
    """Say what files of a form hold: `1 channel of -1000…3000`."""
    channels = f"{form.channels} channel{'s' * (form.channels > 1)}"
    return channels if form.range is None else f"{channels} of {form.range[0]:g}…{form.range[1]:g}"
