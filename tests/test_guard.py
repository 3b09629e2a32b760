"""A batch whose numbers are none leaves nothing behind: not in weights, and not in what is remembered."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import WEIGHTS, Batches, make_cyclegan, make_trainer
from pytorch_lightning import Trainer, seed_everything
from test_family import make
from test_resume import find_differences
from torch import Tensor

from diptych.callbacks import EMA, FiniteGuard, LastCheckpoint
from diptych.losses import R1, AdaptiveAugment, LeCam
from diptych.methods import Method
from diptych.randomness import capture_random_state
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import CheckpointFiles, verify_checkpoint

pytestmark = pytest.mark.reliability
BAD, SAVED, BATCHES = 4, 2, 5


class Checked(R1):
    """A penalty that is no number at one call: what the generator does is finite, what a discriminator does is not."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        self.calls += 1
        return super().__call__(discriminator, real, fake) * (float("nan") if self.calls == BAD else 1.0)


def make_game(**changes: Any) -> Method:
    """Return a CycleGAN of everything that remembers: pool, LeCam, adaptive augmentation, batch and spectral norms."""
    discriminator = {**WEIGHTS["discriminator"], "lecam_a": 0.1, "lecam_b": 0.1}
    settings: dict[str, Any] = {
        "generator": {"network": "ResnetGenerator", "width": 2, "blocks": 1, "norm": "batch", "dropout": True},
        "discriminator": {"network": "PatchDiscriminator", "width": 2, "layers": 2, "spectral_norm": True},
        "weights": {**WEIGHTS, "discriminator": discriminator},
        "lecam": LeCam(),
        "augmentation": AdaptiveAugment(target=-1.0, images=8),
        "pool_size": 2,
    }
    return make_cyclegan(**(settings | changes))


def spoil_render(method: Method) -> None:
    """Let what networks make be no numbers in one batch, as an overflow in them does."""
    render = method.render
    networks = [getattr(network, "style_encoder", network) for network in method.translators.values()]

    def rendered(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        spoilt = networks if method.iteration + 1 == BAD else []
        hooks = [network.register_forward_hook(lambda *call: call[2] * float("nan")) for network in spoilt]
        images = render(batch)
        for hook in hooks:
            hook.remove()
        return images

    method.render = rendered  # type: ignore[method-assign]


def penalised() -> Method:
    discriminator = {**WEIGHTS["discriminator"], "lecam_a": 0.1, "lecam_b": 0.1, "penalty_a": 1.0, "penalty_b": 1.0}
    return make_game(penalty=Checked(), weights={**WEIGHTS, "discriminator": discriminator})


def rendered() -> Method:
    method = make_game()
    spoil_render(method)
    return method


def discriminator_first() -> Method:
    method = make("cut", pool_size=2, augmentation=AdaptiveAugment(images=8))
    spoil_render(method)
    return method


def counted(name: str) -> Callable[[], Method]:
    def start() -> Method:
        method = make(name)
        spoil_render(method)
        return method

    return start


GAMES = {
    "generator first": rendered,
    "the discriminator's own": penalised,
    "discriminator first": discriminator_first,
    "distances": counted("distancegan"),
    "mean code": counted("fusion"),
}


def capture(trainer: Trainer, method: Method) -> dict[str, Any]:
    """Return all that a run consists of but its counts."""
    (ema,) = [callback for callback in trainer.callbacks if isinstance(callback, EMA)]
    return {
        "weights": {name: tensor.clone() for name, tensor in method.state_dict().items()},
        "optimizers": copy.deepcopy([optimizer.state_dict() for optimizer in trainer.optimizers]),
        "extra_state": {name: part.state_dict() for name, part in method.extra_state().items()},
        "averages": copy.deepcopy(ema.state_dict()),
        "random": capture_random_state(),
    }


def train(method: Method, folder: Path, policy: str, **hooks: Any) -> Trainer:
    """Train with a guard; save in iteration `SAVED` alone."""
    seed_everything(0, verbose=False)
    guard, saved = FiniteGuard(policy), LastCheckpoint(str(folder), every=0)  # type: ignore[arg-type]
    own: dict[str, Any] = {"callbacks": [EMA(0.9), guard, saved, RunState({})], "plugins": [CheckpointFiles()]}
    trainer = make_trainer(**own, enable_checkpointing=True)
    states: dict[int, dict[str, Any]] = {}

    def note(*_: Any) -> None:
        if method.iteration == SAVED:
            saved.save(trainer, method)
        states[method.iteration] = capture(trainer, method)

    method.on_train_batch_end = note  # type: ignore[method-assign]
    trainer.fit(method, Batches(BATCHES, batch_size=2))
    trainer.states = states
    return trainer


def find_spoilt(state: Any, path: str = "") -> list[str]:
    """Return where a state holds what is no number."""
    if isinstance(state, Tensor):
        return [] if bool(state.isfinite().all()) else [path]
    if isinstance(state, dict):
        return [found for key, value in state.items() for found in find_spoilt(value, f"{path}.{key}")]
    if isinstance(state, list | tuple):
        return [found for index, value in enumerate(state) for found in find_spoilt(value, f"{path}[{index}]")]
    return []


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_one_bad_batch_leaves_nothing_behind(
    policy: str, game: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    method = GAMES[game]()
    trainer = train(method, tmp_path, policy)
    assert method.iteration == BATCHES
    told = capfd.readouterr().out
    assert f"gradients are not finite in iteration {BAD} " in told
    states = trainer.states
    assert find_spoilt(states) == []
    assert find_spoilt(verify_checkpoint(tmp_path / "last.ckpt")["diptych"]) == []
    kept = ("extra_state", "averages")  # which the bad batch would have moved
    before, after = ({key: states[iteration][key] for key in kept} for iteration in (BAD - 1, BAD))
    if policy == "skip":
        assert find_differences(before, after) == []
    else:
        assert find_differences(states[BAD], states[SAVED]) == []
        for name in (*method.extra_state(), "weights", "optimizers", "averages", "random state"):
            assert name in told
        assert f"are those of {tmp_path / 'last.ckpt'}, iteration {SAVED}" in told
    assert find_differences(states[BATCHES]["weights"], states[BAD]["weights"]) != []


def test_without_a_checkpoint_a_rollback_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    method = rendered()
    guard, ema = FiniteGuard("rollback"), EMA()
    make_trainer(callbacks=[ema, guard]).fit(method, Batches(BATCHES, batch_size=2))
    assert "rollback: there is nothing to go back to: the batch is left out" in capfd.readouterr().out
    assert find_spoilt({name: part.state_dict() for name, part in method.extra_state().items()}) == []


def test_buffers_go_back_too(tmp_path: Path) -> None:
    """Batch norm's statistics and spectral norm's vectors, which a forward pass moves whatever comes of it."""
    method = penalised()
    states = train(method, tmp_path, "skip").states
    buffers = [name for name, _ in method.named_buffers()]
    assert any("running_mean" in name for name in buffers)
    assert any("_u" in name for name in buffers)
    before, after = ({name: states[i]["weights"][name] for name in buffers} for i in (BAD - 1, BAD))
    assert find_differences(before, after) == []
