"""How weights start (the four schemes of the CycleGAN code)."""

from collections.abc import Callable

from torch import Tensor, nn

from diptych.errors import UserError

_SCHEMES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain=gain),
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: nn.init.orthogonal_(weight, gain=gain),
}


def initialise(network: nn.Module, scheme: str = "normal", gain: float = 0.02) -> None:
    """Draw the weights of every convolution and linear layer anew; biases become zero.

    `gain` is the deviation of `normal`, the gain of `xavier` and `orthogonal`; `kaiming` has none.
    """
    if scheme not in _SCHEMES:
        raise UserError(f"initialisation {scheme!r} is not one of {', '.join(_SCHEMES)}")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            _SCHEMES[scheme](_find_weight(module), gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)


def _find_weight(module: nn.Module) -> Tensor:
    """Return the weight itself, beneath spectral norm where that is applied."""
    if hasattr(module, "parametrizations"):
        return module.parametrizations.weight.original  # type: ignore[union-attr, return-value]
    return module.weight  # type: ignore[return-value]
