"""Protocols: what a number of a paper depends on beside the translator, under a name that is printed with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, Literal

from diptych.arguments import suggest
from diptych.errors import UserError
from diptych.metrics.metric import Metric
from diptych.metrics.registry import DEFAULT, find_metric

Reals = Literal["test", "train", "train+test"]


@dataclass(frozen=True)
class Protocol:
    """How images are chosen, prepared and compared.

    `reals`: the images of B that distances are to. `size`: the side at which images are prepared and translated, None
    for that of training. `files`: outputs are rounded to 8 bits, as in the files that others measure. `samples`:
    outputs for each input, in other styles or with other seeds. `metrics` by name, with their arguments. `published`:
    which checkpoint the numbers of papers are of; ours are of the one that is given.
    """

    name: str
    source: str
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {name: {} for name in DEFAULT})
    reals: Reals = "test"
    size: int | None = None
    files: bool = False
    samples: int = 1
    published: str = "last, averaged"

    def make_metrics(self, arguments: Mapping[str, Mapping[str, Any]] | None = None) -> list[Metric]:
        """Build the metrics; `arguments`, for instance files of weights, come on top of the protocol's."""
        more = arguments or {}
        if unused := [name for name in more if name not in self.metrics]:
            raise UserError(f"{unused[0]} is not measured{suggest(unused[0], list(self.metrics))}")
        for name, given in more.items():
            if "weights" in given and "weights" not in signature(find_metric(name)).parameters:
                raise UserError(f"{name} looks with no network and takes no weights")
        return [find_metric(name)(**{**given, **more.get(name, {})}) for name, given in self.metrics.items()]

    def describe(self) -> dict[str, Any]:
        """Return what two numbers must agree in to stand side by side."""
        return {
            "name": self.name,
            "reals": self.reals,
            "size": self.size,
            "files": self.files,
            "samples": self.samples,
            "metrics": {name: dict(given) for name, given in self.metrics.items()},
        }

    def to_line(self) -> str:
        """Return the same in words."""
        size = f"{self.size}²" if self.size else "the size of training"
        depth = ", outputs rounded to 8 bits" if self.files else ""
        several = f", {self.samples} outputs for each input" if self.samples > 1 else ""
        return f"protocol {self.name}: reals from {self.reals} B, {size}{depth}{several}"


_MORE = (
    *("spectrum", "lab_histogram", "ciede2000", "kid_random", "mind_random"),
    *("fid_lite0", "kid_lite0", "mind_lite0", "lpips_lite0"),
)
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("default", "images as they were trained on, metrics that need nothing but images"),
        Protocol(
            "cut256",
            "Park et al. 2020 and those who compare with it: pytorch-fid on 256² PNG files, all of test A and B",
            {"fid": {"resize": "torch"}},
            size=256,
            files=True,
            published="the best over training, chosen on the test set",
        ),
        Protocol(
            "uvcgan2",
            "Torbunov et al. 2023: torch-fidelity on 256² PNG files, whole test sets",
            {"fid": {"resize": "tf"}, "kid": {"resize": "tf"}},
            size=256,
            files=True,
        ),
        Protocol(
            "clean",
            "Parmar et al. 2022: images shrunk with antialiasing in floats before Inception; img2img-turbo's",
            {"fid": {"resize": "clean"}, "dino_structure": {}},
            size=256,
            files=True,
            published="the best during training (img2img-turbo)",
        ),
        Protocol(
            "stargan2",
            "Choi et al. 2020: ten outputs for each input against the training images of the target domain; their "
            "Inception is torchvision's, here it is TensorFlow's: numbers are near theirs, not theirs",
            {"fid": {"resize": "torch"}},
            reals="train",
            size=256,
            files=True,
            samples=10,
            published="a fixed iteration, averaged",
        ),
        Protocol(
            "ugatit-kid",
            "Kim et al. 2020: KID of 256² files on TensorFlow's Inception",
            {"kid": {"resize": "tf"}},
            size=256,
            files=True,
            published="not stated",
        ),
        Protocol(
            "egsde",
            "Zhao et al. 2022: FID against the target's test images, and how much of the input is kept",
            {"fid": {"resize": "torch"}, "copying": {}},
            size=256,
            files=True,
        ),
        Protocol(
            "artfid",
            "Wright and Ommer 2022, for style transfer: content by LPIPS to the input, style by FID on paintings",
            {"artfid": {}},
            size=512,
            files=True,
        ),
        Protocol(
            "flat2fluent",
            "the embedded emoji, 64 pixels: distances to the truth, to B and failures, without a download",
            {name: {} for name in (*DEFAULT, *_MORE)},
            size=64,
            files=True,
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name; `UserError` where there is none."""
    if name not in PROTOCOLS:
        known = list(PROTOCOLS)
        raise UserError(f"there is no protocol {name}{suggest(name, known)}; there are {', '.join(known)}")
    return PROTOCOLS[name]


def choose_metrics(names: list[str], protocol: Protocol) -> Protocol:
    """Return the protocol with other metrics, which is then no longer that of its name alone."""
    for name in names:
        find_metric(name)
    return replace(protocol, metrics={name: protocol.metrics.get(name, {}) for name in names})
