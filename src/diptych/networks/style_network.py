"""Networks that are told in which style to paint."""

from abc import abstractmethod

import torch
from torch import Tensor

from diptych.networks.registry import Network


class StyleNetwork(Network, registered=False):
    """A network whose style is a code, N×K×1×1, or N×K×h×w where it differs from place to place.

    Codes of one network may be mixed like colours: their weighted mean is a style between them.
    """

    usual: Tensor
    """The code that is used where none is given: the mean of the styles it was trained on."""

    def remember(self, size: int) -> None:
        """Make room for the usual code."""
        self.register_buffer("usual", torch.zeros(1, size, 1, 1))

    @abstractmethod
    def describe_style(self, style: Tensor) -> Tensor:
        """Return the N×K×1×1 code of N×C×h×w style images."""

    @abstractmethod
    def describe_own(self, x: Tensor) -> Tensor:
        """Return the code with which images stay as they are, but for what the network loses of any."""

    @abstractmethod
    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Paint N×C×H×W images in the code's style, or in the usual one."""
