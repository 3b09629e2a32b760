"""What methods share whose encoder is given and whose decoder learns to draw from its features."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from diptych.methods.generator_only import GeneratorOnlyMethod, require_rgb
from diptych.methods.pretrained import Pretrained, keep_pretrained
from diptych.networks.initialisation import Gain, Init
from diptych.networks.layered_encoder import LayeredEncoder


class DecoderMethod(GeneratorOnlyMethod):
    """`config` names a network that carries an encoder and has a `decoder`, which alone is trained.

    A recipe's `generator` is not asked for, but for the weights it starts from.
    """

    generator_ab: Any

    def __init__(
        self,
        config: Mapping[str, Any],
        encoder: LayeredEncoder,
        /,
        *,
        init: Init = "kaiming",
        init_gain: Gain = 1.0,
        **settings: Any,
    ) -> None:
        require_rgb(settings.get("channels"))
        network = {**config, **encoder.describe(), "pretrained": None}
        super().__init__(network, init=init, init_gain=init_gain, **settings)
        self.generator_ab.encoder.copy_weights(encoder)
        Pretrained("generator", keep_pretrained(config)).load(self.translators)  # with the encoder they were trained to
        self.generator_ab.train()  # encoders behave alike, but Lightning warns of parts that do not train

    def trained_parts(self) -> Sequence[nn.Module]:
        return (self.generator_ab.decoder,)
