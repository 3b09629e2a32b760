"""The discriminator's memory of earlier fakes (Shrivastava et al. 2017, section 2.3)."""

from typing import Any

import torch
from torch import Tensor


class HistoryPool:
    """Keeps `size` fakes; half the time it returns an old one and keeps the new one in its place.

    It has a random generator of its own, so that its draws neither depend on nor disturb anybody else's.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        self.size = size
        self._images: list[Tensor] = []
        self._random = torch.Generator().manual_seed(seed)

    def exchange(self, fakes: Tensor) -> Tensor:
        """Return N×C×H×W fakes, detached, some of them from earlier batches; image by image."""
        if self.size == 0:
            return fakes.detach()
        return torch.stack([self._exchange_one(image) for image in fakes.detach()])

    def _exchange_one(self, image: Tensor) -> Tensor:
        if len(self._images) < self.size:
            self._images.append(image.clone())
            return image
        if torch.rand((), generator=self._random) > 0.5:
            index = int(torch.randint(self.size, (), generator=self._random))
            earlier, self._images[index] = self._images[index], image.clone()
            return earlier.to(image.device)
        return image

    def state_dict(self) -> dict[str, Any]:
        """Return the images and the state of the random generator."""
        return {"images": list(self._images), "random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; `ValueError` where its images are none."""
        images = list(state["images"])
        if not all(isinstance(image, Tensor) and image.is_floating_point() and image.ndim == 3 for image in images):
            raise ValueError("earlier fakes are not C×H×W")
        self._images = images
        self._random.set_state(state["random"].cpu())
