"""Frames per second of networks that paint, and seconds that optimisation needs to a loss, against plain forms."""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from benchmarking.apart import Make, run_apart
from benchmarking.measuring import Measurement, Variant, time_call
from benchmarking.textbook import Generator
from diptych.inference import choose_engine
from diptych.inference.device import settle
from diptych.inference.engines import is_installed
from diptych.losses import StyleReference
from diptych.networks import AdaINGenerator, build
from diptych.networks.winograd import Conv3x3
from diptych.translators import GatysTranslator, NetworkTranslator, make_gatys
from diptych.translators.pixels import PixelState, descend

FRAMES = 3  # a round
VARIANTS = ("textbook", "scipy", "lbfgs", "recompute")
BOUND = 200  # steps after which a loss counts as out of reach


def draw(seed: int, side: int) -> Tensor:
    """Return an image with structure at every scale, 1×3×side×side in [-1, 1]."""
    random = torch.Generator().manual_seed(seed)
    octaves = [torch.randn(1, 3, 2**level, 2**level, generator=random) for level in range(1, 8)]
    total = sum(interpolate(octave, size=(side, side), mode="bilinear") for octave in octaves)
    return (total / 4).clamp(-1, 1)  # type: ignore[union-attr]


class PlainAdaIN:
    """AdaIN in plain calls: the style is looked at again for every frame, as a loop over images would."""

    def __init__(self, network: AdaINGenerator) -> None:
        self.network = network

    def __call__(self, content: Tensor, style: Tensor) -> Tensor:
        one, other = (self.encode(image) for image in (content, style))
        mean, deviation = one.mean((2, 3), keepdim=True), (one.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
        target = (other.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
        return self.decode(target * (one - mean) / deviation + other.mean((2, 3), keepdim=True))

    def encode(self, image: Tensor) -> Tensor:
        x = self.network.encoder.normalise(image)
        for layer in self.network.encoder.layers:
            x = conv2d(x, layer.weight, layer.bias, padding=1) if isinstance(layer, Conv3x3) else layer(x)
        return x

    def decode(self, x: Tensor) -> Tensor:
        for layer in self.network.decoder:
            if isinstance(layer, nn.ReflectionPad2d):
                x = pad(x, (1, 1, 1, 1), mode="reflect")
            else:
                x = conv2d(x, layer.weight, layer.bias) if isinstance(layer, Conv3x3) else layer(x)
        return x


def count_frames(paint: Callable[[], object]) -> float:
    """Return frames per second."""
    with torch.inference_mode():
        return 1 / time_call(paint, torch.device("cpu"), FRAMES)


def make_adain(size: int, ours: bool) -> Variant:
    """Return rounds of AdaIN's frames in one style, by the plain form or as `diptych stylize` paints them."""
    torch.manual_seed(0)
    content, style = draw(1, size), draw(2, size)
    network = build("AdaINGenerator").eval().requires_grad_(False)
    assert isinstance(network, AdaINGenerator)
    if not ours:
        return partial(count_frames, partial(PlainAdaIN(network), content, style))
    settle(network, content.device)
    with torch.inference_mode():
        code = network.encode_style(style)
        torch.testing.assert_close(network(content, code), PlainAdaIN(network)(content, style), rtol=1e-3, atol=1e-3)
    return partial(count_frames, partial(network, content, code))


def make_feed_forward(size: int, engine: str | None) -> Variant:
    """Return rounds of a Johnson network's frames, by the textbook's or as `diptych translate` runs it."""
    torch.manual_seed(0)
    content = draw(1, size)
    network = build("ResnetGenerator", width=32, blocks=5).eval().requires_grad_(False)
    if engine:
        return partial(count_frames, partial(choose_engine(NetworkTranslator(network), engine), content))
    plain = Generator(32, 5).eval().requires_grad_(False)
    plain.load_state_dict(network.state_dict())
    return partial(count_frames, partial(plain, content))


def benchmark_paint(options: argparse.Namespace) -> list[Measurement]:
    """Frames per second of a feed-forward network or of AdaIN's, against a loop of eager fp32."""
    makes: dict[str, Make] = {}
    if options.network == "adain":
        makes["plain loop, fp32"] = partial(make_adain, options.size, ours=False)
        makes["diptych"] = partial(make_adain, options.size, ours=True)
    else:
        makes["plain loop, fp32"] = partial(make_feed_forward, options.size, None)
        for engine in filter(is_installed, ("torch", "onnx", "openvino")):
            makes[f"diptych, {engine}"] = partial(make_feed_forward, options.size, engine)
    return run_apart(makes, options.rounds, "cpu")


def make_descent(options: argparse.Namespace, kind: str, goal: float | None = None) -> Variant:
    """Return rounds of a descent to the goal, or of so many steps where there is none."""
    gatys = make_gatys("plain", options.encoder)
    gatys.loss.content.encoder.recompute = kind == "recompute"
    content, style = draw(1, options.size), StyleReference(draw(2, options.size))

    def round_of() -> float:
        start = time.perf_counter()
        for step, loss in enumerate(walk(gatys, kind, content, style), 1):
            if loss <= goal if goal is not None else step >= options.steps:
                return 1 / (time.perf_counter() - start)
        raise SystemExit(f"error: {kind} did not come to a loss of {goal:g} in {BOUND} steps")

    return round_of


def walk(gatys: GatysTranslator, kind: str, content: Tensor, style: StyleReference) -> Iterator[float]:
    """Yield the loss before each step from the content; `textbook` describes content and style again every time."""
    kept = gatys.weigh(content, [style])

    def again(image: Tensor) -> Tensor:
        return gatys.weigh(content, [style])(image)

    optimizer = "scipy" if kind == "scipy" else "lbfgs"
    steps = descend(again if kind == "textbook" else kept, content, optimizer, BOUND, PixelState())  # type: ignore[arg-type]
    return (loss for loss, _ in steps)


def benchmark_descend(options: argparse.Namespace) -> list[Measurement]:
    """How often a second's optimisation comes to the loss that ours has after some steps, and in how much memory."""
    if options.size > 1024:
        goal = None  # one step says how much memory it takes
    else:
        gatys = make_gatys("plain", options.encoder)
        steps = walk(gatys, "lbfgs", draw(1, options.size), StyleReference(draw(2, options.size)))
        losses = list(itertools.islice(steps, options.steps))
        goal = losses[-1]
        print(f"loss: {losses[0]:.4g} at the start, to be brought to {goal:.4g}")
    makes: dict[str, Make] = {kind: partial(make_descent, options, kind, goal) for kind in options.variants}
    return run_apart(makes, options.rounds, "cpu")
