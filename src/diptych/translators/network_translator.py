"""A trained network as a translator: feed-forward, styled, iterative, or the last two at once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import safetensors
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from diptych.errors import MachineError, UserError
from diptych.files import write_whole
from diptych.images import Form
from diptych.networks import IterativeNetwork, Network, StyleNetwork
from diptych.translators.header import FORMAT
from diptych.translators.mixing import mix_styles
from diptych.translators.style import Style, StyleLike
from diptych.translators.translator import Progress, Translator

HEADER = "diptych"


class NetworkTranslator(Translator):
    """A network and what is known about it, `notes`; what it takes beside the content follows from its class."""

    def __init__(self, network: Network, notes: Mapping[str, Any] | None = None) -> None:
        self.network, self.notes = network, dict(notes or {})
        styled, iterative = isinstance(network, StyleNetwork), isinstance(network, IterativeNetwork)
        samples = isinstance(network, StyleNetwork) and network.takes("seed")
        self.style_sources = network.list_sources() if isinstance(network, StyleNetwork) else ()
        self.takes_steps = iterative
        self.takes_seed = samples or (isinstance(network, IterativeNetwork) and network.takes_seed)
        self.controls_strength = styled and not iterative

    def to(self, device: torch.device) -> Self:
        self.network.to(device)
        return self

    @property
    def kind(self) -> str:
        """Feed-forward, styled or iterative."""
        if isinstance(self.network, IterativeNetwork):
            return "iterative"
        return "styled" if isinstance(self.network, StyleNetwork) else "feed-forward"

    @torch.inference_mode()
    def _iterate(
        self, content: Tensor, styles: tuple[Style, ...], seed: int, steps: int | None, strength: float
    ) -> Iterator[Progress]:
        network = self.network
        parameter = next(network.parameters())
        x, random = content.to(parameter.device, parameter.dtype), Generator().manual_seed(seed)
        coded = self._choose(styles, len(x), random)
        if isinstance(network, IterativeNetwork):
            steps = steps or network.steps
            code = [_combine(coded)] if coded else []
            for step, image in enumerate(network.iterate(x, steps, random, *code), 1):
                yield Progress(step, steps, image)
        elif isinstance(network, StyleNetwork):
            yield Progress(1, 1, mix_styles(network, x, coded, strength))
        else:
            yield Progress(1, 1, network(x))

    def _choose(self, styles: tuple[Style, ...], count: int, random: Generator) -> tuple[Style, ...]:
        """Return styles with codes: the given ones, one drawn for each of so many contents, or the mean one."""
        if not isinstance(self.network, StyleNetwork):
            return ()
        if styles:
            return self.encode(styles)
        if self.network.takes("seed"):
            return (Style(code=self.network.sample_code(count, random).to(self.network.mean_code)),)
        return (Style(code=self.network.mean_code),)

    @torch.inference_mode()
    def encode(self, style: StyleLike) -> tuple[Style, ...]:
        """Return the styles with the network's codes in the place of images, numbers and names."""
        return tuple(self._encode(one) for one in super().encode(style))

    def _encode(self, style: Style) -> Style:
        network = self.network
        assert isinstance(network, StyleNetwork)
        if style.image is not None:
            code = network.encode_style(style.image.to(network.mean_code))
        elif style.number is not None:
            code = network.encode_number(style.number)
        elif style.name is not None:
            code = network.encode_name(style.name)
        else:
            return style
        return replace(style, image=None, number=None, name=None, code=code.to(network.mean_code))

    @property
    def input(self) -> Form:
        return self._find_form("input", "in_channels")

    @property
    def output(self) -> Form:
        return self._find_form("output", "out_channels")

    def _find_form(self, note: str, argument: str) -> Form:
        channels = self.network.arguments.get(argument, 3)
        form = Form.from_config({"channels": channels, **self.notes.get(note, {})})
        if form.channels != channels:
            raise UserError(f"{note}.channels = {form.channels}, but the network has {argument} = {channels}")
        return form

    def save(self, path: Path) -> None:
        """Write the bundle, the network's weights and a JSON header, whole or not at all."""
        header = {"format": FORMAT, **self.network.describe(), "notes": self.notes}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        try:
            with write_whole(path) as temporary:
                save_file(tensors, temporary, metadata={HEADER: json.dumps(header, ensure_ascii=False)})
        except safetensors.SafetensorError as error:
            raise MachineError(f"{path}: the bundle cannot be written ({error})") from None


def _combine(styles: tuple[Style, ...]) -> Tensor:
    """Return the weighted mean of codes; an iterative network takes one for the whole image."""
    if any(style.mask is not None for style in styles):
        raise UserError("this translator takes a style for the whole image: leave the masks of styles out")
    total = sum(style.weight for style in styles)
    return torch.stack([style.weight / total * style.code for style in styles if style.code is not None]).sum(0)
