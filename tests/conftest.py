"""What several tests need: tiny data sets, tiny methods, and a quiet trainer."""

import functools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from diptych.images import write_image
from diptych.losses import LeastSquares
from diptych.methods import CycleGAN, Schedule
from diptych.networks import Network
from diptych.translators import NetworkTranslator, Style

os.environ.setdefault("WANDB_MODE", "offline")
sys.path.append(str(Path(__file__).parent / "toys"))  # a package of somebody else's, found by its entry points
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="diptych-cache-")  # not the cache of whoever runs the tests
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes at a time share the cores; tiny tensors gain nothing by threads
    os.environ["OMP_NUM_THREADS"] = "1"  # of processes that tests start
    torch.set_num_threads(1)

WEIGHTS = {
    "generator": {
        "adversarial_ab": 1.0,
        "adversarial_ba": 1.0,
        "cycle_a": 10.0,
        "cycle_b": 10.0,
        "identity_a": 5.0,
        "identity_b": 5.0,
    },
    "discriminator": {"adversarial_a": 1.0, "adversarial_b": 1.0},
}

TINY_NETWORKS = ["generator.width=4", "discriminator.width=4"]


@pytest.fixture(autouse=True)
def leave_no_process_group() -> Iterator[None]:
    """A distributed run in this process leaves a group and its address behind, which the next one would take up."""
    before = dict(os.environ)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of A, three of B, two aligned test pairs, 40×36 pixels."""
    root = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(0)
    for folder, count in (("trainA", 5), ("trainB", 3), ("testA", 2), ("testB", 2)):
        for index in range(count):
            write_noise(root / folder / f"{index}.png", random)
    return root


def sweep(values: Iterable[Any], always: Set[Any]) -> list[Any]:
    """Return the values of a parameter; those that are not among `always` are left to `pytest -m exhaustive`."""
    return [value if value in always else pytest.param(value, marks=pytest.mark.exhaustive) for value in values]


def write_noise(path: Path, random: np.random.Generator, size: tuple[int, int] = (36, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def make_cyclegan(**changes: Any) -> CycleGAN:
    """Return a CycleGAN of a few thousand weights."""
    adam = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    arguments: dict[str, Any] = {
        "generator": {"network": "ResnetGenerator", "width": 4, "blocks": 1},
        "discriminator": {"network": "PatchDiscriminator", "width": 4, "layers": 2},
        "adversarial": LeastSquares(),
        "weights": WEIGHTS,
        "optimizer": {"generator": adam, "discriminator": adam},
        "schedule": Schedule(2, 2),
    }
    return CycleGAN(**(arguments | changes))


def make_trainer(**changes: Any) -> Trainer:
    """Return a trainer that writes nothing and says nothing."""
    quiet: dict[str, Any] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    return Trainer(**(quiet | changes))


def paint_in(network: Network, content: Tensor, styles: Sequence[Style], strength: float = 1.0) -> Tensor:
    """Translate in a mixture of styles, at less than full strength too."""
    *_, last = NetworkTranslator(network).iterate(content, styles, strength=strength)
    return last.image


class Batches(LightningDataModule):
    """The same few random batches every epoch."""

    def __init__(self, steps: int = 3, batch_size: int = 1, side: int = 16, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        shape = (2, batch_size, 3, side, side)
        pairs = [torch.rand(shape, generator=random, dtype=torch.float64).to(dtype) * 2 - 1 for _ in range(steps)]
        self.items = [{"a": a, "b": b, "index_b": torch.arange(batch_size)} for a, b in pairs]
        self.images_per_epoch = steps * batch_size

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self.items, batch_size=None)


def make_picture(seed: int, *size: int) -> Tensor:
    """Return a picture of noise, 1×3×H×W in [-0.8, 0.8]; 20×24 unless said."""
    return torch.rand(1, 3, *(size or (20, 24)), generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with content.png, one.png and two.png, 36×40 pixels of smooth noise."""
    for seed, name in enumerate(("content", "one", "two")):
        smooth = torch.nn.functional.avg_pool2d(make_picture(seed, 40, 44), 5, 1)
        write_image(smooth[0], tmp_path / f"{name}.png")
    return tmp_path
