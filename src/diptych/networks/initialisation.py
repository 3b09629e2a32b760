"""How weights start (the four ways of the CycleGAN code)."""

from collections.abc import Callable
from typing import Annotated, Literal

from torch import Tensor, nn

from diptych.arguments import Range
from diptych.errors import UserError

Init = Literal["normal", "xavier", "kaiming", "orthogonal"]
Gain = Annotated[float, Range(0, 100)]
_INITS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain=gain),
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: nn.init.orthogonal_(weight, gain=gain),
}


def initialise(network: nn.Module, init: str = "normal", init_gain: float = 0.02) -> None:
    """Draw the weights of every convolution and linear layer anew; biases become zero.

    `init_gain` is the deviation of `normal`, the gain of `xavier` and `orthogonal`; `kaiming` has none.
    """
    if init not in _INITS:
        raise UserError(f"method.init = {init!r} is not one of {', '.join(_INITS)}")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            _INITS[init](_find_weight(module), init_gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, init_gain)
            nn.init.zeros_(module.bias)


def _find_weight(module: nn.Module) -> Tensor:
    """Return the weight itself, beneath spectral norm where that is applied."""
    if hasattr(module, "parametrizations"):
        return module.parametrizations.weight.original  # type: ignore[union-attr, return-value]
    return module.weight  # type: ignore[return-value]
