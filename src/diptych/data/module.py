"""The data module: two folders of training images, two of test images, and what is made of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from diptych.data.folders import list_images, require_images
from diptych.data.preparation import Preparation
from diptych.data.unpaired import EpochBatches, UnpairedImages, seed_generator
from diptych.errors import UserError

_CACHE_LIMIT = 2**30  # bytes of decoded images that `cache: auto` keeps in memory


class UnpairedData(LightningDataModule):
    """`root` with trainA, trainB, testA, testB, or `path_a` and `path_b` with optional test folders.

    The folders are searched at once, so that a missing or empty one is reported before any model is built.
    `swap` exchanges A and B; `names` are the domains' names after that.
    """

    def __init__(
        self,
        root: str | None = None,
        path_a: str | None = None,
        path_b: str | None = None,
        test_path_a: str | None = None,
        test_path_b: str | None = None,
        load_size: int = 286,
        crop_size: int = 256,
        flip: bool = True,
        batch_size: int = 1,
        workers: int = 4,
        cache: bool | str = "auto",
        swap: bool = False,
        domains: Sequence[str] = ("A", "B"),
        seed: int = 0,
        hint: str = "",
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise UserError("data.batch_size must be at least 1 and data.workers at least 0")
        self.preparation = Preparation(load_size, crop_size, flip)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        if len(domains) != 2:
            raise UserError(f"domains = {list(domains)} must be two names")
        folders = "ba" if swap else "ab"
        self.names = {domain: domains["ab".index(folder)] for domain, folder in zip("ab", folders, strict=True)}
        chosen = {"a": (path_a, test_path_a), "b": (path_b, test_path_b)}
        self.train_paths, self.test_paths = {}, {}
        for domain, folder in zip("ab", folders, strict=True):
            train, test = chosen[folder]
            if root is None and train is None:
                raise UserError(
                    f"the data are not named: set data.root, or data.path_a and data.path_b. {hint}".strip()
                )
            key = f"data.path_{folder}" if train else f"data.root. {hint}".strip()
            suffix = folder.upper()
            self.train_paths[domain] = require_images(Path(train or Path(str(root), f"train{suffix}")), key)
            test_folder = test or (None if train else str(Path(str(root), f"test{suffix}")))
            self.test_paths[domain] = list_images(Path(test_folder)) if test_folder else []
        self.cache = self._fits_in_memory() if cache == "auto" else bool(cache)

    def _fits_in_memory(self) -> bool:
        images = sum(len(paths) for paths in self.train_paths.values())
        return images * 3 * self.preparation.load_size**2 * max(1, self.workers) <= _CACHE_LIMIT

    @property
    def images_per_epoch(self) -> int:
        """The larger domain's number of images, rounded up to the number of processes."""
        return self._make_batches().images_per_epoch

    def _make_batches(self) -> EpochBatches:
        items = max(len(paths) for paths in self.train_paths.values())
        trainer = self.trainer
        if trainer is None:
            return EpochBatches(items, self.batch_size, self.seed)
        return EpochBatches(
            items,
            self.batch_size,
            self.seed,
            iteration=lambda: getattr(trainer.lightning_module, "iteration", 0),
            rank=trainer.global_rank,
            processes=trainer.world_size,
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the batches of the epoch that training has reached."""
        paths = self.train_paths
        images = UnpairedImages(paths["a"], paths["b"], self.preparation, self.seed, self.cache)
        return DataLoader(
            images,
            batch_sampler=self._make_batches(),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=seed_generator(self.seed),  # or the loader would draw from everybody's generator
        )

    def find_batch(self, iteration: int) -> list[Path]:
        """Return the files of this process's batch at an iteration."""
        batches = self._make_batches()
        batches.iteration = lambda: iteration
        draws = next(iter(batches))
        images = UnpairedImages(self.train_paths["a"], self.train_paths["b"], self.preparation, self.seed, False)
        return [path for draw in draws for path in images.find_paths(draw)]

    @property
    def fingerprint(self) -> str:
        """A hash of the training images' names and sizes: the same data give the same text, wherever they lie."""
        digest = hashlib.sha256()
        for domain, paths in self.train_paths.items():
            for path in paths:
                digest.update(f"{domain} {path.name} {path.stat().st_size}\n".encode())
        return digest.hexdigest()

    @property
    def aligned(self) -> bool:
        """Whether test images of A and B carry the same names, so that each A has its truth in B."""
        names = [[path.stem for path in self.test_paths[domain]] for domain in "ab"]
        return bool(names[0]) and names[0] == names[1]

    def sample_paths(self, domain: str, count: int) -> list[Path]:
        """Return `count` images spread evenly over the test folder, or over the training folder if there is none."""
        paths = self.test_paths[domain] or self.train_paths[domain]
        step = max(1, len(paths) // count)
        return paths[::step][:count]

    def load(self, paths: list[Path]) -> Tensor:
        """Return whole images at the training size, N×3×S×S."""
        return torch.stack([self.preparation.load_for_test(path) for path in paths])

    def find_partners(self, domain: str, paths: list[Path]) -> list[Path]:
        """Return the other domain's test images of the same places, for an aligned test set."""
        partners = dict(zip(self.test_paths[domain], self.test_paths["ba"["ab".index(domain)]], strict=True))
        return [partners[path] for path in paths]
