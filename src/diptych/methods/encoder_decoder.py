"""Translation by reconstruction alone, the plainest baseline: an encoder–decoder and a distance, no adversary."""

import torch

from diptych.methods.generator_only import GeneratorOnlyMethod
from diptych.methods.player import Images, Terms


class EncoderDecoder(GeneratorOnlyMethod):
    """With pairs (`data.paired=true`): the translation should be the truth, by L1 and squared distance."""

    needs_pairs = True

    def generator_terms(self, images: Images) -> Terms:
        """Both distances; a weight of 0 turns one off."""
        difference = images["fake_b"] - images["real_b"]
        return {"reconstruction_b": difference.abs().mean(), "squared_b": torch.square(difference).mean()}
