"""Train the small VGG that comes with Diptych, on the embedded emoji alone, and write its weights.

    python scripts/train_encoder.py --steps 1500 --out small_encoder.safetensors

It learns three things at once: which image a varied crop was cut from (Dosovitskiy et al. 2014, where each image is a
class of its own), which domain it comes from (from the statistics that style losses look at), and, with a decoder, to
draw it again. Use the result as `--encoder FILE` or `method.encoder.weights=FILE`.
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
from torch.nn.functional import cross_entropy, mse_loss

from diptych.data import list_images
from diptych.images import load_image, normalise
from diptych.losses.perceptual import measure_moments
from diptych.networks import Vgg
from diptych.networks.mirror import mirror

DATA = Path(__file__).parents[1] / "data" / "flat2fluent"
SIDE = 48
DRAWN, SEEN = "relu4_1", "relu5_1"  # what the decoder draws from, and the images are told apart by
STATISTICS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")  # what the domains are told apart by


class Lessons(nn.Module):
    """An encoder with a decoder and two classifiers on top of it."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.encoder = Vgg("small", "random").requires_grad_(True).train()
        self.decoder = mirror(Vgg("small", "random", last=DRAWN).layers, 3)
        self.identity = nn.LazyLinear(images)
        self.domain = nn.LazyLinear(2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the image's logits, the domain's, and the drawing."""
        features = self.encoder(images, (*STATISTICS, SEEN))
        statistics = torch.cat([torch.cat(measure_moments(features[name]), 1) for name in STATISTICS], 1)
        seen = torch.cat([features[SEEN].mean((2, 3)), features[SEEN].amax((2, 3))], 1)
        return self.identity(seen), self.domain(statistics), self.decoder(features[DRAWN])


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
        ColorJiggle(0.3, 0.3, 0.3, 0.5, p=0.8),
    )
    lessons(images[:2])  # the classifiers learn their sizes
    optimizer = torch.optim.AdamW(lessons.parameters(), lr=1e-3, weight_decay=0.01)
    with Progress() as bars:
        task = bars.add_task("training", total=steps)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 + math.cos(math.pi * step / steps)) / 2
            chosen = torch.randint(len(images), (batch,))
            seen = vary((images[chosen] + 1) / 2).clamp(0, 1) * 2 - 1
            identity, domain, drawing = lessons(seen)
            terms = [cross_entropy(identity, chosen), cross_entropy(domain, domains[chosen]), mse_loss(drawing, seen)]
            optimizer.zero_grad()
            (terms[0] + terms[1] + 10 * terms[2]).backward()
            nn.utils.clip_grad_norm_(lessons.parameters(), 1.0)
            optimizer.step()
            words = " ".join(f"{value.item():.2f}" for value in terms)
            bars.update(task, advance=1, description=f"image, domain, drawing: {words}")


@torch.no_grad()
def measure(lessons: Lessons) -> dict[str, float]:
    """Return how often test images' domains are recognised, and how well they are drawn, in dB."""
    images, domains = load("test")
    _, domain, drawing = lessons.eval()(images)
    error = mse_loss(drawing.clamp(-1, 1), images)
    right = (domain.argmax(1) == domains).float().mean()
    return {"domain": right.item(), "psnr": 10 * torch.log10(4 / error).item()}


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of training (default 1500)")
    parser.add_argument("--batch", type=int, default=32, help="images at a time (default 32)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    images, domains = load("train")
    lessons = Lessons(len(images))
    train(lessons, images, domains, options.steps, options.batch)
    scores = measure(lessons)
    convolutions = [index for index, layer in enumerate(lessons.encoder.layers) if hasattr(layer, "weight")]
    state = {
        f"features.{index}.{part}": getattr(lessons.encoder.layers[index], part).detach().half().contiguous()
        for index in convolutions
        for part in ("weight", "bias")
    }
    note = {"data": DATA.name, "steps": options.steps, "batch": options.batch, "seed": options.seed, **scores}
    save_file(state, options.out, metadata={"encoder": json.dumps(note)})
    print(f"{options.out}: {scores['domain']:.1%} of domains right, drawings at {scores['psnr']:.1f} dB")


if __name__ == "__main__":
    main()
