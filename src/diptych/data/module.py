"""The data module: two folders of training images, two of test images, and what is made of them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from diptych.arguments import Amount, FilePath, Label, Range, Seed, checked
from diptych.data.cache import PixelCache, estimate_bytes
from diptych.data.domain import Domain
from diptych.data.installer import install_dataset
from diptych.data.loader import ShieldedLoader
from diptych.data.preparation import Preparation, Preset
from diptych.data.selection import Selection, examine, hold_out, keep_pairs, select_test, select_train
from diptych.data.unpaired import EpochBatches, Item, UnpairedImages, collate
from diptych.errors import UserError
from diptych.files import find_cache
from diptych.images import Form, load_image, normalise, to_unit
from diptych.images.form import MAX_PIXELS
from diptych.networks.registry import Channels
from diptych.randomness import mix, seed_generator
from diptych.terminal import say

Side = Annotated[int, Range(1, 16384)]
"""Pixels along an edge; more take gigabytes an image."""


class UnpairedData(LightningDataModule):
    """`root` with trainA, trainB, testA, testB, or `path_a` and `path_b` with optional test folders.

    The folders are searched at once, so that a missing or empty one is reported before any model is built. `…_a` is
    said of the first folder; `swap` exchanges A and B after that, and `names` are the domains' names then.
    `paired`: training images of one name belong together, and those without a partner are left out. `skipped` are the
    files left out from the start, with the reasons. `validation`, if not 0: a tenth of the training images, at most
    200, is not trained on but measured on meanwhile.
    """

    place = "data"

    @checked
    def __init__(
        self,
        root: FilePath | None = None,
        path_a: FilePath | None = None,
        path_b: FilePath | None = None,
        test_path_a: FilePath | None = None,
        test_path_b: FilePath | None = None,
        download: Label | None = None,
        preset: Preset = "resize_and_crop",
        load_size: Side = 286,
        crop_size: Side = 256,
        flip: bool = True,
        min_size: Side = 16,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        range_a: tuple[float, float] | None = None,
        range_b: tuple[float, float] | None = None,
        background: str = "white",
        max_pixels: Annotated[int, Range(1, 2**40)] = MAX_PIXELS,
        on_error: Literal["raise", "skip"] = "raise",
        augment: Callable[[Tensor], Tensor] | None = None,
        batch_size: Annotated[int, Range(1, 65536)] = 1,
        epoch_size: Annotated[int, Range(1, 100_000_000)] | None = None,
        drop_last: bool = False,
        workers: Annotated[int, Range(0, 1024)] = 4,
        cache: bool | Literal["auto"] = "auto",
        cache_dir: FilePath | None = None,
        cache_gib: Annotated[float, Range(0, 1e6)] = 20.0,
        swap: bool = False,
        paired: bool = False,
        validation: Amount = 0,
        domains: tuple[Label, Label] = ("A", "B"),
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.preparation = Preparation(load_size, crop_size, flip, preset, min_size)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.epoch_size, self.drop_last = epoch_size, drop_last
        self.cache, self.cache_gib = cache, cache_gib
        self.cache_root = Path(cache_dir) if cache_dir else find_cache()
        self.augment, self.on_error, self.paired, self.validation = augment, on_error, paired, validation
        if root is not None and download is not None:
            install_dataset(download, Path(root))
        folders = dict(zip("ab", "ba" if swap else "ab", strict=True))
        paths, tests = {"a": path_a, "b": path_b}, {"a": test_path_a, "b": test_path_b}
        words = {"a": {"channels": channels_a, "range": range_a}, "b": {"channels": channels_b, "range": range_b}}
        common = {"background": background, "max_pixels": max_pixels}
        self.forms = {domain: Form.from_config(words[folder] | common) for domain, folder in folders.items()}
        self.names = {domain: domains["ab".index(folder)] for domain, folder in folders.items()}
        self._choose(
            {domain: select_train(root, paths[folder], folder) for domain, folder in folders.items()},
            {domain: select_test(root, paths[folder], tests[folder], folder) for domain, folder in folders.items()},
        )

    def _choose(self, train: dict[str, Selection], test: dict[str, Selection]) -> None:
        """Take the files that can be used, and learn the depth of those that hold numbers."""
        aligned = _are_aligned(test["a"].paths, test["b"].paths)
        for domain, form in self.forms.items():
            for selection, find_problem in ((train[domain], self.preparation.find_problem), (test[domain], None)):
                examine(selection, form, self.on_error == "skip", self.cache_root, find_problem)
        if aligned:
            keep_pairs(test)
        if self.paired:
            keep_pairs(train)
            if not train["a"].paths:
                raise UserError("data.paired=true: no training image of A has the name of one of B")
        self.validation_paths = hold_out(train) if self.validation else {"a": [], "b": []}
        self.train_paths = {domain: selection.paths for domain, selection in train.items()}
        self.test_paths = {domain: selection.paths for domain, selection in test.items()}
        self.skipped = [line for group in (train, test) for selection in group.values() for line in selection.skipped]
        for domain, form in self.forms.items():
            if form.holds_numbers:
                self.forms[domain] = replace(form, depth=load_image(self.train_paths[domain][0], form).stored)

    @property
    def channels(self) -> dict[str, int]:
        """The channels of each domain's images."""
        return {domain: form.channels for domain, form in self.forms.items()}

    @property
    def images_per_epoch(self) -> int:
        """The larger domain's number of images or `epoch_size`, rounded to what the processes can share."""
        return self.make_batches().images_per_epoch

    def make_batches(self, processes: int | None = None) -> EpochBatches:
        """Return this process's batches of the epoch that training has reached; `UserError` where there are none.

        It is one of the trainer's processes, or before there is a trainer of so many.
        """
        trainer = self.trainer
        return EpochBatches(
            max(len(paths) for paths in self.train_paths.values()),
            self.batch_size,
            self.seed,
            images_seen=lambda: getattr(trainer and trainer.lightning_module, "images_seen", 0),
            rank=trainer.global_rank if trainer else 0,
            processes=processes or (trainer.world_size if trainer else 1),
            epoch_size=self.epoch_size,
            drop_last=self.drop_last,
        )

    def _make_images(self, cache: PixelCache | None = None) -> UnpairedImages:
        a, b = (
            Domain(self.train_paths[domain], self.preparation, self.forms[domain], cache, self.on_error == "skip")
            for domain in "ab"
        )
        return UnpairedImages(a, b, self.seed, self.paired)

    def _open_cache(self) -> PixelCache | None:
        """Return the cache with this process's share of what it may still write."""
        if self.cache is False:
            return None
        cache, need = PixelCache(self.cache_root / "images", budget=0), 0
        images = self._make_images()
        fixed = (self.preparation.load_size,) * 2 if self.preparation.preset == "resize_and_crop" else None
        for domain in (images.a, images.b):
            missing = [path for path in domain.paths if not cache.holds(path, domain.words)]
            need += estimate_bytes(missing, domain.form, fixed) if missing else 0
        limit = int(self.cache_gib * 2**30)
        if self.cache == "auto" and need > limit:
            say(f"no cache: {need / 2**30:.1f} GiB are more than data.cache_gib={self.cache_gib:g}")
            return None
        room = cache.make_room(need, limit) if need else 0
        cache.budget = room // (max(1, self.workers) * (self.trainer.world_size if self.trainer else 1))
        return cache

    def train_dataloader(self) -> ShieldedLoader[Item]:
        """Return a loader of these batches."""
        return ShieldedLoader(
            self._make_images(self._open_cache()),
            batch_sampler=self.make_batches(),
            collate_fn=collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=seed_generator(self.seed),  # or the loader would draw from everybody's generator
        )

    def on_after_batch_transfer(self, batch: Item, dataloader_idx: int) -> Item:
        """Bring images to [-1, 1] on the device, and augment them there in [0, 1].

        Draws are a function of seed, iteration and process.
        """
        method, rank = getattr(self.trainer, "lightning_module", None), self.trainer.global_rank if self.trainer else 0
        dtype = getattr(method, "dtype", torch.float32)  # float64 under precision 64-true
        batch |= {domain: normalise(batch[domain]).to(dtype) for domain in "ab"}
        if self.augment is None:
            return batch
        for number, domain in enumerate("ab"):
            devices = [batch[domain].device] if batch[domain].is_cuda else []
            with torch.random.fork_rng(devices), torch.no_grad():
                torch.manual_seed(mix(self.seed, getattr(method, "iteration", 0), rank, 0 if self.paired else number))
                batch[domain] = self.augment(to_unit(batch[domain])).clamp(0, 1).mul(2).sub(1).to(dtype)
        return batch

    def find_batch(self) -> list[Path]:
        """Return the files of this process's batch that follows the images seen so far."""
        batches, images = self.make_batches(), self._make_images()
        return [path for draw in next(iter(batches)) for path in images.find_paths(draw)]

    @property
    def fingerprint(self) -> str:
        """A hash of the training images' names and sizes: the same data give the same text, wherever they lie."""
        digest = hashlib.sha256()
        for domain, paths in self.train_paths.items():
            for path in paths:
                size = path.stat().st_size if path.exists() else -1
                digest.update(f"{domain} {path.name} {size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @property
    def aligned(self) -> bool:
        """Whether test images of A and B carry the same names, so that each A has its truth in B."""
        return _are_aligned(self.test_paths["a"], self.test_paths["b"])

    def sample_paths(self, domain: str, count: int) -> list[Path]:
        """Return `count` images spread evenly over the test folder, or over the training folder if there is none."""
        paths = self.test_paths[domain] or self.train_paths[domain]
        step = max(1, len(paths) // count)
        return paths[::step][:count]

    def load(self, domain: str, paths: Sequence[Path]) -> Tensor:
        """Return a domain's images at the training size, N×C×S×S, nothing at random."""
        return torch.stack([self.preparation.load_for_test(path, self.forms[domain]) for path in paths])

    def find_partners(self, domain: str, paths: list[Path]) -> list[Path]:
        """Return the other domain's test images of the same places, for an aligned test set."""
        partners = dict(zip(self.test_paths[domain], self.test_paths["ba"["ab".index(domain)]], strict=True))
        return [partners[path] for path in paths]


def _are_aligned(one: list[Path], other: list[Path]) -> bool:
    return bool(one) and [path.stem for path in one] == [path.stem for path in other]
