"""What losses look with, by a word or a file: a VGG, an EfficientNet, or the layers of a trained translator."""

from pathlib import Path
from typing import Any

from diptych.errors import UserError
from diptych.networks import EfficientNetLite, Encoder, FeatureNetwork, NetworkEncoder, Vgg
from diptych.translators.bundle import holds_network, load_translator


class TranslatorEncoder(NetworkEncoder):
    """The layers of a trained translator's network, from its file."""

    def __init__(self, path: str | Path, direction: str | None = None) -> None:
        network = load_translator(path, direction).network
        if not isinstance(network, FeatureNetwork):
            raise UserError(f"{path}: a {type(network).__name__} has no features to look with; a ResnetGenerator has")
        super().__init__(network)


def load_encoder(weights: str = "imagenet", **settings: Any) -> Encoder:
    """Return a VGG by the words of `Vgg`, to which `settings` go, or a translator's layers where a file holds one.

    `efficientnet` is EfficientNet-Lite0 with ImageNet's weights.
    """
    try:
        return _load_encoder(weights, **settings)
    except UserError as error:
        raise type(error)(f"--encoder {weights}: {error}") from None


def _load_encoder(weights: str, **settings: Any) -> Encoder:
    if weights == "efficientnet":
        return EfficientNetLite()
    path = Path(weights)
    if path.suffix == ".ckpt" or (path.suffix == ".safetensors" and path.is_file() and holds_network(path)):
        return TranslatorEncoder(path)
    return Vgg(weights=weights, **settings)
