"""Descent on the pixels of an image: L-BFGS by torch or by SciPy, or Adam."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diptych.errors import MachineError, UserError

Optimizer = Literal["lbfgs", "adam", "scipy"]
Objective = Callable[[Tensor], Tensor]
Steps = Iterator[tuple[float, Tensor]]

ROUND = 20  # evaluations of a round of SciPy's, as in the schedule that many tutorials share
_HISTORY, _LEAST_HISTORY, _HISTORY_BYTES = 100, 10, 2**30
_FIRST = 0.02  # the mean change of a pixel that L-BFGS tries first, in units of [-1, 1]


@dataclass
class PixelState:
    """What Adam has gathered at one scale, for the next to begin with."""

    moments: dict[str, Tensor] = field(default_factory=dict)


def descend(objective: Objective, start: Tensor, kind: Optimizer, steps: int, state: PixelState) -> Steps:
    """Yield the loss before, and the image in [-1, 1] after, each step; a step of `scipy` is a round."""
    ways = {"lbfgs": _lbfgs, "adam": _adam, "scipy": _scipy}
    if kind not in ways:
        raise UserError(f"optimizer = {kind} must be one of {', '.join(get_args(Optimizer))}")
    return ways[kind](objective, start.detach().clone(), steps, state)


def evaluate(objective: Objective, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of an image and its gradient."""
    image = image.detach().requires_grad_()
    with torch.enable_grad():
        loss = objective(image)
        (gradient,) = torch.autograd.grad(loss, image)
    return loss.detach(), gradient


def count_history(image: Tensor) -> int:
    """Return how many steps L-BFGS remembers: a hundred, or as many as one GiB holds; each takes two images."""
    return max(_LEAST_HISTORY, min(_HISTORY, _HISTORY_BYTES // (2 * image.nbytes)))


def _lbfgs(objective: Objective, image: Tensor, steps: int, state: PixelState) -> Steps:
    pixels = image.requires_grad_()
    seen, (value, slope) = pixels.detach().clone(), evaluate(objective, pixels)
    # Torch's tolerances and first step are absolute: the loss is brought to a size at which they mean something.
    unit = _FIRST / slope.abs().mean().clamp_min(1e-30)
    optimizer = torch.optim.LBFGS(
        [pixels],
        max_iter=1,
        max_eval=25,
        history_size=count_history(image),
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        nonlocal seen, value, slope
        if not torch.equal(seen, pixels):  # a step begins where the last one's line search has been
            seen, value, slope = pixels.detach().clone(), *evaluate(objective, pixels)
        pixels.grad = slope * unit
        return value * unit

    for _ in range(steps):
        loss = optimizer.step(closure) / unit
        yield float(loss), pixels.detach().clamp(-1, 1)


def _adam(objective: Objective, image: Tensor, steps: int, state: PixelState) -> Steps:
    """Kingma and Ba 2015 with a rate of 0.02 and decays of 0.9 and 0.99; the image stays in [-1, 1]."""
    pixels = image.requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=0.02, betas=(0.9, 0.99))
    if state.moments:
        optimizer.state[pixels] = {name: _fit(moment, image) for name, moment in state.moments.items()}
    for _ in range(steps):
        loss, pixels.grad = evaluate(objective, pixels)
        optimizer.step()
        image = pixels.data.clamp_(-1, 1).clone()
        yield float(loss), image
    state.moments = dict(optimizer.state[pixels])


def _scipy(objective: Objective, image: Tensor, steps: int, state: PixelState) -> Steps:
    """Rounds of twenty evaluations of SciPy's L-BFGS-B, each begun anew, on pixels from 0 to 255."""
    try:
        from scipy.optimize import fmin_l_bfgs_b
    except ImportError:
        raise MachineError("optimizer = scipy needs SciPy: pip install scipy, or take lbfgs") from None

    def call(flat: np.ndarray) -> tuple[float, np.ndarray]:
        pixels = torch.from_numpy(flat).view(image.shape).to(image) / 127.5
        loss, gradient = evaluate(objective, pixels)
        return float(loss), (gradient / 127.5).double().cpu().numpy().ravel()

    flat = image.double().cpu().numpy().ravel() * 127.5
    for _ in range(steps):  # SciPy's tolerance of gradients is absolute, and would stop at once where losses are means
        flat, loss, _ = fmin_l_bfgs_b(call, flat, maxfun=ROUND, pgtol=0)
        yield float(loss), (torch.from_numpy(flat).view(image.shape).to(image) / 127.5).clamp(-1, 1)


def _fit(old: Tensor, image: Tensor) -> Tensor:
    """Bring a moment to the image's size; a count stays."""
    if old.ndim == 0:
        return old
    return interpolate(old, size=image.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
