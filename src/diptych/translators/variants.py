"""What a translator can do with one image: styles, places on a scale, samples, numbers of steps worth showing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diptych.metrics import Source
from diptych.networks import IterativeNetwork, StyleNetwork
from diptych.translators.network_translator import NetworkTranslator
from diptych.translators.style import Style

_SHOWN = 3  # styles, places or samples


@dataclass(frozen=True)
class Variant:
    """Further arguments of a translator, what they are called, and the style image where there is one."""

    title: str
    arguments: dict[str, Any] = field(default_factory=dict)
    image: Tensor | None = None


def list_variants(translator: NetworkTranslator, references: Tensor) -> list[Variant]:
    """Return what is worth showing; `references` are M×C×H×W real images of the styles, of those it knows the first."""
    return list(_find_variants(translator, references)) or [Variant("")]


def _find_variants(translator: NetworkTranslator, references: Tensor) -> Iterator[Variant]:
    network = translator.network
    if isinstance(network, StyleNetwork):
        names = network.style_names[:_SHOWN]
        if names:
            for name, image in zip(names, references.split(1), strict=False):
                yield Variant(f"in style {name}", {"style": name}, image)
        elif network.takes("image"):
            for image in references[:_SHOWN].split(1):
                yield Variant("in this style", {"style": image}, image)
        elif network.takes("number"):
            yield from (Variant(f"{place:g}", {"style": place}) for place in (0.0, 0.5, 1.0))
    counts = sorted({1, network.steps}) if isinstance(network, IterativeNetwork) else []
    yield from (Variant(f"{count} step{'s' * (count > 1)}", {"steps": count}) for count in counts)
    if translator.takes_seed:  # of which 0 has been shown where there are steps
        yield from (Variant(f"seed {seed}", {"seed": seed}) for seed in range(1 if counts else 0, _SHOWN))


def translate_like(translator: NetworkTranslator, content: Tensor, references: Tensor, first: int = 0) -> Tensor:
    """Translate N×C×H×W images, each in the style of its own of the references where the translator takes any image.

    One that knows a few styles takes them in turn; one that draws samples gives image i the seed i: a single style or
    sample would say nothing of their variety. `first` is the number of the first image.
    """
    network = translator.network
    names = network.style_names if isinstance(network, StyleNetwork) else []
    if names:
        styles = [names[number % len(names)] for number in range(first, first + len(content))]
        return torch.cat([translator(image, name) for name, image in zip(styles, content.split(1), strict=True)])
    if isinstance(network, StyleNetwork) and network.takes("image"):
        return translator(content, Style(image=references.to(content)[torch.arange(len(content)) % len(references)]))
    if translator.takes_seed:
        return torch.cat([translator(image, seed=seed) for seed, image in enumerate(content.split(1), first)])
    return translator(content)


def make_source(translator: NetworkTranslator, back: NetworkTranslator | None = None) -> Source:
    """Return what is measured of a translator; `back` is that of the other direction."""
    return Source(lambda chunk: translate_like(translator, chunk.inputs, chunk.references, chunk.number), back)
