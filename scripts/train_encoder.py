"""Train the small VGG that comes with Diptych, on the embedded emoji alone, and write its weights.

    python scripts/train_encoder.py --out small_encoder.safetensors

It learns from varied crops which image they were cut from (Dosovitskiy et al. 2014, where each image is a class of its
own), and which domain, from the statistics that style losses look at. Batch norms help it to learn and are folded into
the convolutions at the end. Use the result as `--encoder FILE` or `method.encoder.weights=FILE`.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from kornia.augmentation import AugmentationSequential, ColorJiggle, RandomHorizontalFlip, RandomResizedCrop
from rich.progress import Progress
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.fusion import fuse_conv_bn_eval

from diptych.data import list_images
from diptych.images import load_image, normalise
from diptych.losses.perceptual import measure_moments
from diptych.networks import Vgg

DATA = Path(__file__).parents[1] / "data" / "flat2fluent"
SIDE = 48
RATE = 2e-3


class Lessons(nn.Module):
    """An encoder with batch norms and two classifiers on top of it."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.normalise = Vgg("small", "random").normalise
        layers: list[nn.Module] = []
        self.statistics = []  # the layers by which domains are told apart: the first of each block
        for layer in Vgg("small", "random").layers:
            if isinstance(layer, nn.ReLU | nn.MaxPool2d):
                layers.append(layer)
            else:
                if not layers or isinstance(layers[-1], nn.MaxPool2d):
                    self.statistics.append(len(layers) + 2)
                inner, outer = int(layer.in_channels), int(layer.out_channels)  # type: ignore[arg-type]
                layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer)]
        self.layers = nn.Sequential(*layers)
        self.identity, self.domain = nn.LazyLinear(images), nn.LazyLinear(2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the image, and of the domain."""
        moments: list[Tensor] = []
        x = self.normalise(images).contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in self.statistics:
                moments += measure_moments(x)
        seen = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return self.identity(seen), self.domain(torch.cat(moments, 1))

    def fold(self) -> dict[str, Tensor]:
        """Return the convolutions' weights, norms folded in, by the names that `Vgg` reads."""
        folded = [
            fuse_conv_bn_eval(conv, norm)
            for conv, norm in zip(self.layers.eval(), self.layers[1:], strict=False)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        ]
        numbers = [number for number, layer in enumerate(Vgg("small", "random").layers) if hasattr(layer, "weight")]
        return {
            f"features.{number}.{part}": getattr(conv, part).detach().half().contiguous()
            for number, conv in zip(numbers, folded, strict=True)
            for part in ("weight", "bias")
        }


def load(split: str) -> tuple[Tensor, Tensor]:
    """Return all images of a split in [-1, 1] and their domains, 0 for A."""
    folders = [list_images(DATA / f"{split}{domain}") for domain in "AB"]
    images = [load_image(path).resize(SIDE, SIDE).to_tensor() for paths in folders for path in paths]
    domains = [number for number, paths in enumerate(folders) for _ in paths]
    return normalise(torch.stack(images)), torch.tensor(domains)


def train(lessons: Lessons, images: Tensor, domains: Tensor, steps: int, batch: int) -> None:
    """Train for so many steps; the rate falls as half a cosine."""
    vary = AugmentationSequential(
        RandomResizedCrop((SIDE, SIDE), scale=(0.3, 1.0)),
        RandomHorizontalFlip(),
        ColorJiggle(0.3, 0.3, 0.3, 0.1, p=0.8),
    )
    lessons(images[:2])  # the classifiers learn their sizes
    optimizer = torch.optim.AdamW(lessons.parameters(), lr=RATE, weight_decay=0.01)
    with Progress() as bars:
        task = bars.add_task("training", total=steps)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
            chosen = torch.randint(len(images), (batch,))
            identity, domain = lessons(vary((images[chosen] + 1) / 2).clamp(0, 1) * 2 - 1)
            terms = [cross_entropy(identity, chosen), cross_entropy(domain, domains[chosen])]
            optimizer.zero_grad()
            torch.stack(terms).sum().backward()
            optimizer.step()
            losses = " ".join(f"{value.item():.2f}" for value in terms)
            bars.update(task, advance=1, description=f"image, domain: {losses}")


@torch.no_grad()
def measure(lessons: Lessons, seen: Tensor) -> dict[str, float]:
    """Return how often a training image is told from all others, whole, and a test image's domain is recognised."""
    lessons.eval()
    images, domains = load("test")
    identity, domain = lessons(seen)[0], lessons(images)[1]
    right = identity.argmax(1) == torch.arange(len(seen))
    return {"image": right.float().mean().item(), "domain": (domain.argmax(1) == domains).float().mean().item()}


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of training (default 1500)")
    parser.add_argument("--batch", type=int, default=64, help="images at a time (default 64)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    images, domains = load("train")
    lessons = Lessons(len(images))
    train(lessons, images, domains, options.steps, options.batch)
    scores = measure(lessons, images)
    note = {"data": DATA.name, "steps": options.steps, "batch": options.batch, "seed": options.seed, **scores}
    save_file(lessons.fold(), options.out, metadata={"encoder": json.dumps(note)})
    print(f"{options.out}: {scores['image']:.1%} of images and {scores['domain']:.1%} of test domains right")


if __name__ == "__main__":
    main()
