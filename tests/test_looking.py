"""Whatever only looks at a run changes nothing that is learnt, by as much as a bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_cyclegan, make_trainer, sweep
from pytorch_lightning import Callback, seed_everything
from test_family import METHODS, make
from test_guard import capture
from test_resume import find_differences
from torch import Tensor, nn

from diptych.callbacks import (
    EMA,
    Alarms,
    DataReport,
    Finish,
    FiniteGuard,
    MemoryReport,
    MetricsFile,
    RunProgress,
    Samples,
)
from diptych.data import UnpairedData
from diptych.methods import Method
from diptych.training.looking import looking

pytestmark = pytest.mark.reliability
GENERATOR = {"network": "ResnetGenerator", "width": 2, "blocks": 1}
DISCRIMINATOR = {"network": "PatchDiscriminator", "width": 2, "layers": 2}
NETWORKS = {
    "spectral norm": {"discriminator": {**DISCRIMINATOR, "spectral_norm": True}},
    "batch norm": {"discriminator": {**DISCRIMINATOR, "norm": "batch"}, "generator": {**GENERATOR, "norm": "batch"}},
    "dropout": {"generator": {**GENERATOR, "dropout": True}},
    "scales": {"discriminator": {"network": "MultiscaleDiscriminator", "width": 2, "layers": 1, "spectral_norm": True}},
}
FAMILY = [name for name in METHODS if name not in ("pix2pix", "encoder_decoder")]  # these want pairs


def look(folder: Path) -> list[Callback]:
    """Return everything that looks, after every batch."""
    return [
        MetricsFile(str(folder / "metrics.csv")),
        RunProgress(0.0, 0.0),
        MemoryReport(),
        Samples(str(folder / "samples"), every=1, count=1),
        Alarms(str(folder / "symptoms.csv"), every=1, start=1, count=2),
        FiniteGuard("skip"),
        Finish(str(folder), "tiny", evaluation=False),
        DataReport(str(folder), every=1),
    ]


def train(method: Method, root: Path, callbacks: list[Callback]) -> dict[str, Any]:
    """Return what a run of three batches comes to."""
    seed_everything(1, verbose=False)
    data = UnpairedData(str(root), load_size=18, crop_size=16, workers=0, cache=False, batch_size=2)
    callbacks = [EMA(0.9), *callbacks]
    bars = {"enable_progress_bar": len(callbacks) > 1, "log_every_n_steps": 1}
    trainer = make_trainer(callbacks=callbacks, **bars)
    trainer.fit(method, data)
    assert method.iteration == 3
    return capture(trainer, method)


@pytest.mark.parametrize("networks", NETWORKS)
def test_looking_changes_nothing_that_is_learnt(networks: str, tiny_data: Path, tmp_path: Path) -> None:
    states = []
    for callbacks in ([], look(tmp_path)):
        seed_everything(0, verbose=False)
        states.append(train(make_cyclegan(**NETWORKS[networks]), tiny_data, callbacks))
    assert find_differences(*states) == []
    assert (tmp_path / "symptoms.csv").read_text().count("\n") == 4
    assert "discriminator_auc_ab" in (tmp_path / "symptoms.csv").read_text()
    assert len(list((tmp_path / "samples").iterdir())) == 4


@pytest.mark.parametrize("name", sweep(FAMILY, {"cut", "fusion", "dumoulin"}))
def test_looking_at_any_method_changes_nothing(name: str, tiny_data: Path, tmp_path: Path) -> None:
    network = {"network": "ConditionalGenerator", "styles": 3, "width": 2} if name == "dumoulin" else None
    states = [train(make(name, network), tiny_data, callbacks) for callbacks in ([], look(tmp_path))]
    assert find_differences(*states) == []


class Restless(nn.Module):
    """Counts its calls and draws random numbers, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + torch.rand(())


def test_what_is_looked_at_is_as_it_was() -> None:
    method = make_cyclegan(**NETWORKS["batch norm"], pool_size=2)
    method.restless = Restless()
    method.generator_ab.eval()
    modes = [module.training for module in method.modules()]
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="halfway"), looking(method):
        assert not any(module.training for module in method.modules())
        method.restless(torch.zeros(1))
        method.adversarial_losses["b"].pool.exchange(torch.zeros(1, 3, 4, 4))
        raise RuntimeError("halfway")
    assert [module.training for module in method.modules()] == modes
    assert find_differences(dict(method.state_dict()), before) == []
    assert torch.equal(torch.get_rng_state(), random)
    assert method.extra_state()["pool_b"].state_dict()["images"] == []
