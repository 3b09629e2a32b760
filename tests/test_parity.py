"""Numbers of the original code, reproduced in float64 through the public classes.

`DIPTYCH_PARITY` names another folder of vectors; every network file and every `cyclegan_*` and `cut*` folder is found.
"""

import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from diptych.losses import CrossEntropy, LeastSquares, PatchNCE, Wasserstein
from diptych.methods import CycleGAN, Schedule
from diptych.networks import build, extract_features
from diptych.translators import load_translator
from diptych.translators.foreign.cyclegan import recognise

FOLDER = Path(os.environ.get("DIPTYCH_PARITY", Path(__file__).parent / "data" / "parity"))
GAMES = {"lsgan": LeastSquares, "vanilla": CrossEntropy, "wgangp": Wasserstein}
NETWORKS = sorted((FOLDER / "networks").glob("*.pth"))
CONTRASTS = sorted(path for path in FOLDER.glob("cut*") if (path / "settings.json").is_file())
RUNS = sorted(path for path in FOLDER.glob("cyclegan_*") if (path / "losses.json").is_file())


def read(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(array).double() for name, array in arrays.items()}


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_parity_of_network(path: Path) -> None:
    vectors = read(path.with_suffix(".npz"))
    name, arguments, tensors, words = recognise(torch.load(path, weights_only=True))
    network = build(name, **arguments).double().eval()
    network.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(network(vectors["input"]), vectors["output"], rtol=0, atol=1e-9)
    assert name in words
    if network.translates:
        translator = load_translator(path)
        translator.network.double()
        torch.testing.assert_close(translator(vectors["input"]), vectors["output"], rtol=0, atol=1e-9)


@pytest.mark.skipif(not (FOLDER / "gan_loss.npz").is_file(), reason="the folder holds no GAN losses")
def test_parity_of_adversarial_losses() -> None:
    prediction = read(FOLDER / "gan_loss.npz")["prediction"]
    modes = json.loads((FOLDER / "gan_loss.json").read_text())
    for mode, expected in modes.items():
        game = GAMES[mode]()
        assert float(game.on_real(prediction)) == pytest.approx(expected["real"], abs=1e-12), mode
        assert float(game.on_fake(prediction)) == pytest.approx(expected["fake"], abs=1e-12), mode
        assert float(game.generator(prediction)) == pytest.approx(expected["real"], abs=1e-12), mode


class Steps(LightningDataModule):
    """The recorded batches, in their order; epochs have the recorded number of steps."""

    def __init__(self, batches: dict[str, Tensor], steps_per_epoch: int, swap: bool) -> None:
        super().__init__()
        first, second = ("B", "A") if swap else ("A", "B")
        self.items = [{"a": a, "b": b} for a, b in zip(batches[first], batches[second], strict=True)]
        self.images_per_epoch = steps_per_epoch * len(self.items[0]["a"])

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self.items, batch_size=None)


class Ledger(Callback):
    """Collects what is logged after every batch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def make_method(folder: Path, settings: dict) -> CycleGAN:
    """Build the method from the settings in the folder's own words."""
    recognised = {
        key: recognise(torch.load(folder / f"init_net_{key}.pth", weights_only=True))
        for key in ("G_A", "G_B", "D_A", "D_B")
    }
    generator, discriminator = (
        {"network": name} | {key: value for key, value in arguments.items() if not key.endswith("_channels")}
        for name, arguments, *_ in (recognised["G_A"], recognised["D_A"])
    )
    identity = settings["lambda_identity"]
    weights = {
        "generator": {
            "adversarial_ab": 1.0,
            "adversarial_ba": 1.0,
            "cycle_a": settings["lambda_A"],
            "cycle_b": settings["lambda_B"],
            "identity_a": settings["lambda_A"] * identity,
            "identity_b": settings["lambda_B"] * identity,
        },
        "discriminator": {"adversarial_a": 1.0, "adversarial_b": 1.0},
    }
    adam = functools.partial(torch.optim.Adam, lr=settings["lr"], betas=(settings["beta1"], settings["beta2"]))
    schedule = Schedule(settings["n_epochs"], settings["n_epochs_decay"], settings["lr_policy"])
    method = CycleGAN(
        generator,
        discriminator,
        GAMES[settings["gan_mode"]](),
        weights=weights,
        optimizer={"generator": adam, "discriminator": adam},
        schedule=schedule,
        pool_size=settings["pool_size"],
    )
    # The original's D_A judges domain B.
    ours = {"G_A": "generator_ab", "G_B": "generator_ba", "D_A": "discriminator_b", "D_B": "discriminator_a"}
    for key, name in ours.items():
        getattr(method, name).load_state_dict(recognised[key][2], strict=True)
    return method


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_parity_of_training(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "losses.json").read_text())
    settings = record["settings"]
    method, ledger = make_method(folder, settings), Ledger()
    data = Steps(read(folder / "batches.npz"), settings["steps_per_epoch"], settings["direction"] == "BtoA")
    trainer = Trainer(
        max_epochs=1,
        precision="64-true",
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ledger],
        default_root_dir=tmp_path,
    )
    trainer.fit(method.double(), data)

    weights = method.weights.by_player["generator"]
    names = {
        "D_A": ("discriminator/adversarial_b", 1.0),
        "D_B": ("discriminator/adversarial_a", 1.0),
        "G_A": ("generator/adversarial_ab", 1.0),
        "G_B": ("generator/adversarial_ba", 1.0),
        "cycle_A": ("generator/cycle_a", weights["cycle_a"]),
        "cycle_B": ("generator/cycle_b", weights["cycle_b"]),
        "idt_A": ("generator/identity_b", weights["identity_b"]),
        "idt_B": ("generator/identity_a", weights["identity_a"]),
        "lr": ("learning_rate", 1.0),
    }
    assert len(ledger.rows) == len(record["losses"])
    for step, (row, expected) in enumerate(zip(ledger.rows, record["losses"], strict=True)):
        for theirs, value in expected.items():
            ours, weight = names[theirs]
            assert weight * row.get(ours, 0.0) == pytest.approx(value, rel=1e-7), (step, theirs)

    after = read(folder / "after.npz")
    with torch.no_grad():
        for key, network in (("G_A", method.generator_ab), ("G_B", method.generator_ba)):
            torch.testing.assert_close(network(after["probe"]), after[key], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("folder", CONTRASTS, ids=lambda path: path.name)
def test_parity_of_patch_nce(folder: Path) -> None:
    settings, vectors = json.loads((folder / "settings.json").read_text()), read(folder / "patch_nce.npz")
    images, patches = settings["batch_size"], settings["patches_per_image"]
    loss = PatchNCE(settings["temperature"], whole_batch=settings["negatives_from_whole_batch"])
    query, key = (vectors[name].view(images, patches, -1) for name in ("query", "key"))
    result = loss.per_patch(query, key).flatten()
    torch.testing.assert_close(result, vectors["loss"].flatten(), rtol=0, atol=1e-9)
    assert float(loss(query, key)) == pytest.approx(float(vectors["loss"].mean()), abs=1e-9)


@pytest.mark.parametrize("path", [path for folder in CONTRASTS for path in sorted(folder.glob("*.pth"))], ids=str)
def test_parity_of_antialiased_networks(path: Path) -> None:
    settings, vectors = json.loads((path.parent / "settings.json").read_text()), read(path.with_suffix(".npz"))
    name, arguments, tensors, _ = recognise(torch.load(path, weights_only=True))
    network = build(name, **arguments).double().eval()
    network.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(network(vectors["input"]), vectors["output"], rtol=0, atol=1e-9)
        if "feature_0" not in vectors:
            return
        layers = settings["nce_layers"]
        for layer, feature in zip(layers, extract_features(network, vectors["input"], layers), strict=True):
            torch.testing.assert_close(feature, vectors[f"feature_{layer}"], rtol=0, atol=1e-9)
    assert arguments["width"] == settings["ngf"]
    assert arguments["blocks"] == settings["n_blocks"]
    translator = load_translator(path)
    translator.network.double()
    torch.testing.assert_close(translator(vectors["input"]), vectors["output"], rtol=0, atol=1e-9)


def test_parity_vectors_are_there() -> None:
    assert NETWORKS or RUNS or CONTRASTS or (FOLDER / "gan_loss.npz").is_file(), f"{FOLDER} holds no vectors"
