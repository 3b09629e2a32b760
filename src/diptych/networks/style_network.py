"""Networks that are told in which style to paint."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from diptych.networks.registry import Network

_MEMORY = 0.01  # how fast the usual code follows the codes that are seen


class StyleNetwork(Network, registered=False):
    """A network whose style is a code, N×K×1×1, or N×K×h×w where it differs from place to place.

    Codes of one network may be mixed like colours: their weighted mean is a style between them.
    """

    usual: Tensor
    """The code that is used where none is given: the mean of the styles it was trained on."""

    def remember(self, size: int) -> None:
        """Make room for the usual code."""
        self.register_buffer("usual", torch.zeros(1, size, 1, 1))

    @torch.no_grad()
    def follow(self, codes: Tensor, first: bool) -> None:
        """Let the usual code follow N×K×1×1 codes of styles; the first ones are taken as they are."""
        self.usual.lerp_(codes.to(self.usual).mean(0, keepdim=True), 1.0 if first else _MEMORY)

    @abstractmethod
    def describe_style(self, style: Tensor) -> Tensor:
        """Return the N×K×1×1 code of N×C×h×w style images."""

    def describe_own(self, x: Tensor) -> Tensor | None:
        """Return the code with which images stay as they are, but for what the network loses of any; None: no such."""
        return None

    @abstractmethod
    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Paint N×C×H×W images in the code's style, or in the usual one."""

    def paint(self, x: Tensor, codes: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
        """Paint in several N×K×1×1 codes; their shares, N×1×1×1 or N×1×h×w, add up to one everywhere."""
        total: Tensor = sum(code * share for code, share in zip(codes, shares, strict=True))  # type: ignore[assignment]
        return self(x, total)
