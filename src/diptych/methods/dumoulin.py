"""A Learned Representation for Artistic Style.

Vincent Dumoulin, Jonathon Shlens, Manjunath Kudlur. ICLR 2017. https://arxiv.org/abs/1610.07629
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diptych.data import UnpairedData
from diptych.errors import UserError
from diptych.images import Form, load_image, normalise
from diptych.methods.johnson import Johnson
from diptych.methods.player import Images
from diptych.networks import ConditionalGenerator


class Dumoulin(Johnson):
    """Johnson's losses, and one network for all images of domain B, each a style of its own; styles can be mixed.

    As with Johnson's only one, each is looked at once and as it is.
    """

    generator_ab: ConditionalGenerator

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if not isinstance(self.generator_ab, ConditionalGenerator):
            kind = type(self.generator_ab).__name__
            raise UserError(f"Dumoulin takes a ConditionalGenerator (generator=conditional), not {kind}")

    def check(self, data: Any) -> None:
        super().check(data)
        if not isinstance(data, UnpairedData):
            return
        room, count = len(self.generator_ab.thumbnails), len(data.train_paths["b"])
        if room != count:
            raise UserError(f"generator.styles = {room}, but B has {count} images: generator.styles={count}")

    def on_fit_start(self) -> None:
        """Learn what the styles look like."""
        super().on_fit_start()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, UnpairedData):
            self._keep_thumbnails(data.train_paths["b"], data.forms["b"])

    def _keep_thumbnails(self, paths: Sequence[Path], form: Form) -> None:
        for number, path in enumerate(paths):
            image = normalise(load_image(path, form).to_tensor()[None])
            self.generator_ab.keep_thumbnail(number, image.to(self.generator_ab.thumbnails))

    def has_fixed_styles(self, paths: Sequence[Path]) -> bool:
        return True

    def render(self, batch: Images) -> Images:
        """Return `real_a`, `real_b` and `fake_b`, each image of A in the style of its image of B: N×3×H×W each.

        `style`, N numbers: which of B's images these are.
        """
        code = self.generator_ab.encode_numbers(batch["index_b"])
        given = {"real_a": batch["a"], "real_b": batch["b"], "style": batch["index_b"]}
        return given | {"fake_b": self.generator_ab(batch["a"], code)}
