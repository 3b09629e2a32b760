"""A small classifier of domain A, domain B and neither, trained on the training folders and kept out of the game.

What is neither is made of both: images that are spoilt, so that an output is not taken for B because it is not A.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from diptych.metrics.faults import spoil

_SIDE, _STEPS, _SHARE = 64, 600, 12  # images of each class in a batch
_A, _B, _NEITHER = range(3)


@dataclass(frozen=True)
class DomainClassifier:
    """A trained classifier; `accuracy` is its share of right answers on real test images."""

    network: nn.Module
    accuracy: float
    swapped: bool = False

    def judge(self, images: Tensor) -> Tensor:
        """Return a number for each of N×C×H×W images in [-1, 1], of which `is_b` and `is_neither` know the meaning."""
        return _run(self.network, images).argmax(1)

    def is_b(self, judged: Tensor) -> Tensor:
        """Return whether images look like domain B, rather than like A or neither."""
        return judged == (_A if self.swapped else _B)

    def is_neither(self, judged: Tensor) -> Tensor:
        """Return whether images look like no real image of A or B."""
        return judged == _NEITHER

    def describe(self, images: Tensor) -> Tensor:
        """Return the N×96 features that N×C×H×W images in [-1, 1] are classified by."""
        assert isinstance(self.network, nn.Sequential)
        return _run(self.network[:-1], images)

    def swap(self) -> "DomainClassifier":
        """Return the same classifier for the other direction, in which A and B have changed places."""
        return replace(self, swapped=not self.swapped)


def train_classifier(train: dict[str, Tensor], test: dict[str, Tensor], seed: int = 0) -> DomainClassifier:
    """Train on `{"a": …, "b": …}` images for a fixed number of steps, about half a minute on two cores.

    Images may be shrunk before, to hold many.
    """
    random = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _make_network(train["a"].shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=_STEPS)
    small = {domain: shrink(images) for domain, images in train.items()}
    labels = torch.tensor([_A, _B, _NEITHER]).repeat_interleave(_SHARE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            loss = F.cross_entropy(network(_draw_batch(small, random)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    right = [_run(network, test[domain]).argmax(1) == label for domain, label in (("a", _A), ("b", _B))]
    return DomainClassifier(network, float(torch.cat(right).float().mean()))


class _Slopes(nn.Module):
    """Adds the slopes of the smoothed image, compressed so that faint shading is seen beside sharp edges."""

    def forward(self, x: Tensor) -> Tensor:
        smooth = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 3, 1)
        across = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
        down = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
        return torch.cat([x, torch.tanh(20 * across), torch.tanh(20 * down)], 1)


def _make_network(channels: int) -> nn.Module:
    layers: list[nn.Module] = [_Slopes()]
    for inner, outer in ((3 * channels, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(inner, outer, 3, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 3))


def shrink(images: Tensor) -> Tensor:
    """Return N×C×H×W images at the size at which they are classified."""
    return F.interpolate(images.float(), size=(_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)


def _draw_batch(domains: dict[str, Tensor], random: Generator) -> Tensor:
    """Return as many images of A, of B, and of both that are neither any more."""
    real = torch.cat([_draw(domains[domain], _SHARE, random) for domain in "ab"])
    neither = torch.cat([_draw(domains[domain], _SHARE // 2, random) for domain in "ab"])
    return torch.cat([_roughen(real, random), spoil(neither[torch.randperm(_SHARE, generator=random)], random)])


def _draw(images: Tensor, count: int, random: Generator) -> Tensor:
    """Return random images, each perhaps flipped and moved by up to three pixels."""
    batch = images[torch.randint(len(images), (count,), generator=random)]
    if torch.rand((), generator=random) < 0.5:
        batch = batch.flip(-1)
    down, right = torch.randint(-3, 4, (2,), generator=random).tolist()
    return F.pad(batch, (3, 3, 3, 3), mode="replicate")[..., 3 + down : 3 + down + _SIDE, 3 + right : 3 + right + _SIDE]


def _roughen(images: Tensor, random: Generator) -> Tensor:
    """Blur each image a little, add grain and a checkerboard: generators' small faults must not pass for shading."""
    blur, grain, board = torch.rand(3, len(images), 1, 1, 1, generator=random).square()
    smooth = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    noise = torch.randn(images.shape, generator=random)
    tile = torch.randn(len(images), images.shape[1], 4, 4, generator=random).repeat(1, 1, _SIDE // 4, _SIDE // 4)
    return images.lerp(smooth, blur) + 0.03 * (grain * noise + board * tile)


@torch.no_grad()
def _run(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(shrink(chunk)) for chunk in images.split(256)])
