"""Looking at what is learnt without changing what will be."""

from collections.abc import Iterator
from contextlib import contextmanager

from diptych.methods import Method
from diptych.randomness import capture_random_state, restore_random_state
from diptych.training.snapshot import Snapshot


@contextmanager
def looking(method: Method) -> Iterator[None]:
    """Put a method's networks in evaluation mode for a while; afterwards nothing tells that they were used.

    Modes, buffers and extra state are as before, and so is every random generator of this process: whether, when and in
    which process somebody looks makes no difference to training.
    """
    random, before = capture_random_state(), Snapshot(method)
    modes = [(module, module.training) for module in method.modules()]
    method.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        before.restore(method)
        restore_random_state(random)
