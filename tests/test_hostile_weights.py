"""Files of weights that mean harm, or are damaged: one line, whatever they are, in little memory and time."""

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import hostile_weights
import pytest
import torch
from conftest import make_cyclegan, make_trainer, sweep
from hostile_weights import HOSTILE, write_header, write_mutant
from test_safety import LIGHTNING
from torch import nn

from diptych.cli import main
from diptych.errors import FileError, UserError
from diptych.methods.pretrained import Pretrained
from diptych.networks import Network, build, make_network, names
from diptych.networks.arguments import Range
from diptych.networks.registry import _NETWORKS
from diptych.networks.saved import read_saved
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import verify_checkpoint
from diptych.training.resume import Resumption
from diptych.translators import NetworkTranslator, load_translator
from diptych.translators.bundle import find_misfit

pytestmark = pytest.mark.reliability
FORMAT1 = Path(__file__).parent / "data" / "format1"
SMALL = {"network": "ResnetGenerator", "width": 4, "blocks": 1}
ORIGINAL = Path(__file__).parent / "data" / "parity" / "networks" / "resnet_6blocks_batch.pth"
MEGABYTE = 2**20


def start_from(path: Path) -> None:
    Pretrained("generator", {"pretrained": str(path)}).load({"ab": build(**SMALL)})


def go_on(path: Path) -> None:
    content = verify_checkpoint(path)
    Resumption(path, content).check_changes({"seed": 0, "run_dir": "runs/x"}, allowed=True)


def describe(path: Path) -> None:
    """Raise what the command's exit code stands for."""
    if code := main(["describe", str(path)]):
        raise {5: FileError}[code]("said on stderr")


READERS: list[Callable[[Path], object]] = [load_translator, start_from, go_on, describe]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_a_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about the kinds of tensors that are written here
        HOSTILE[name](tmp_path / name)
    capfd.readouterr()
    for read in READERS[:3]:
        with pytest.raises(FileError) as caught:
            read(tmp_path / name)
        said = str(caught.value)
        assert said.startswith(f"{tmp_path / name}: ")
        assert "\n" not in said
        assert len(said) < 400 + len(str(tmp_path))
    assert main(["describe", str(tmp_path / name)]) == 5
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith(f"error: {tmp_path / name}: ")
    assert error.count("\n") == 1  # neither a traceback nor a library's own warning


LIMITED = """
import resource, sys, time, warnings
from pathlib import Path
sys.path.append(sys.argv[1])
warnings.simplefilter("ignore")
import test_hostile_weights as tests
folder = Path(sys.argv[2])
for name, write in tests.HOSTILE.items():
    write(folder / name)
tests.READERS[0](tests.FORMAT1 / "resnet.safetensors")
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30), now + (1 << 30)))
for name in tests.HOSTILE:
    for read in tests.READERS[:3]:
        start = time.monotonic()
        try:
            read(folder / name)
        except tests.FileError:
            pass
        else:
            print(name, "was read")
        if (took := time.monotonic() - start) > 30:
            print(name, f"took {took:.0f} s")
print("grown by MB:", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its /proc says how large a process is")
def test_hostile_files_take_no_memory(tmp_path: Path) -> None:
    """All of them, one after the other, by a process that is given no more than a gigabyte."""
    command = [sys.executable, "-c", LIMITED, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, lines
    assert int(lines[0].removeprefix("grown by MB: ")) < 450


def test_what_is_read_takes_little_more_than_its_file(tmp_path: Path) -> None:
    """Measured by a process of its own: the peak while 64 MB are read."""
    torch.save({f"x{number}": torch.ones(MEGABYTE) for number in range(16)}, tmp_path / "large.pth")
    code = "\n".join(
        [
            "import resource, sys; from pathlib import Path; from diptych.networks.saved import read_saved",
            f"small = read_saved(Path({str(ORIGINAL)!r}))",
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
            f"held = read_saved(Path({str(tmp_path / 'large.pth')!r}))",
            "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert int(done.stdout) < 2 * 64, done.stderr


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real files of every kind: bundles, checkpoints and state dicts, of both formats and both ways of torch.save."""
    folder = tmp_path_factory.mktemp("sources")
    notes = {"direction": "ab", "from": "A", "to": "B", "size": 16, "input": {"channels": 3, "range": [0, 2.5]}}
    NetworkTranslator(build(**SMALL), notes).save(folder / "new.safetensors")
    method = make_cyclegan()
    content: dict[str, Any] = {"state_dict": method.state_dict(), **LIGHTNING}
    RunState({"method": {"clip": {}}, "seed": 0}).on_save_checkpoint(make_trainer(), method, content)
    content["diptych"]["notes"] = {"ab": notes}
    averaged = {direction: network.state_dict() for direction, network in method.translators.items()}
    content["callbacks"] = {"EMA": {"updates": 3, "averaged": averaged}, "Alarms": {"raised": [], "suspected": ["x"]}}
    torch.save(content, folder / "new.ckpt")
    torch.save(build(**SMALL).state_dict(), folder / "plain.pth")
    state = torch.load(ORIGINAL, weights_only=True)
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    old = [FORMAT1 / "unet.safetensors", FORMAT1 / "conditional.safetensors", FORMAT1 / "adain" / "previous.ckpt"]
    return [*sorted(folder.iterdir()), *old, ORIGINAL]


def test_the_real_files_are_read(sources: list[Path]) -> None:
    assert len(sources) == 8
    for path in sources:
        load_translator(path)
        if path.suffix == ".ckpt":
            go_on(path)


@pytest.mark.parametrize("block", sweep(range(40), always={0, 13, 26}))
def test_mutations_of_real_files_are_read_or_refused(
    block: int, sources: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Fifty a block: no exception but ours, in bounded time and memory."""
    outcomes = set()
    for seed in range(50 * block, 50 * block + 50):
        source = sources[seed % len(sources)]
        path = tmp_path / f"mutant{source.suffix}"
        write_mutant(source, path, seed)
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        for read in READERS:
            try:
                read(path)
                outcomes.add("read")
            except UserError as error:
                outcomes.add(type(error).__name__)
                assert "\n" not in str(error), seed
            except Exception as error:
                raise AssertionError(f"seed {seed}, {read.__name__}: {error!r}") from error
        assert time.monotonic() - start < 30, seed
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, seed
        assert "Traceback" not in capfd.readouterr().err
    assert outcomes >= {"read", "FileError"}


@pytest.mark.parametrize("name", [name for name in names() if _NETWORKS[name].__module__.startswith("diptych.")])
def test_every_number_that_a_network_is_built_from_is_bounded(name: str) -> None:
    """An argument without bounds asks for any number of layers."""
    hints = get_type_hints(_NETWORKS[name].__init__, include_extras=True)
    numbers = {key: hint for key, hint in hints.items() if {int, float, list} & {hint, *get_args(hint)}}
    assert numbers, name
    for key, hint in numbers.items():
        bounds = [bound for bound in get_args(hint) if isinstance(bound, Range)]
        assert bounds, f"{name}.{key}"
        assert bounds[0].high <= 1024, f"{name}.{key}"


@pytest.mark.parametrize("name", [name for name in names() if _NETWORKS[name].__module__.startswith("diptych.")])
def test_networks_are_outlined_as_they_are_built(name: str) -> None:
    """On the meta device the same tensors come about, in the twinkling of an eye, of the largest network too."""
    for wish in ({}, {"encoder": "small"}, {"spectral_norm": True}, {"norm": "batch", "upsampling": "antialias"}):
        arguments = {key: value for key, value in wish.items() if key in get_type_hints(_NETWORKS[name].__init__)}
        real = make_network(name, arguments)
        with torch.device("meta"):
            outline = make_network(name, arguments)
        expected, outlined = real.state_dict(), outline.state_dict()
        assert list(expected) == list(outlined)
        assert all(tensor.is_meta for tensor in outlined.values())
        assert not [key for key in expected if find_misfit(outlined[key], expected[key])]


class ConstantNetwork(Network):
    """Has numbers that are no part of its state."""

    translates = True

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.zeros(1)), torch.tensor(0.25)
        self.register_buffer("middle", torch.tensor(0.5), persistent=False)
        self.tied = self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.middle + self.shift + self.scale + self.tied


def test_constants_and_tied_weights_of_a_loaded_network_are_real(tmp_path: Path) -> None:
    network = ConstantNetwork()
    nn.init.constant_(network.scale, 0.125)
    torch.save(network.state_dict(), tmp_path / "x.pth")
    header = {"format": 2, "network": "ConstantNetwork", "arguments": {}, "prefix": "g."}
    state = {f"g.{key}": tensor for key, tensor in network.state_dict().items()}
    content = {"diptych": {"format": 2, "translators": {"ab": header}}, "state_dict": state}
    torch.save(content, tmp_path / "x.ckpt")
    loaded = load_translator(tmp_path / "x.ckpt")
    assert loaded.network.tied is loaded.network.scale
    assert torch.equal(loaded(torch.zeros(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 0.5))


def test_numbers_too_large_for_the_network_are_spoilt_weights(tmp_path: Path) -> None:
    state = build(**SMALL).state_dict()
    state["model.1.bias"] = torch.full((4,), 1e300, dtype=torch.float64)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(FileError, match=r"tensor 'model\.1\.bias' holds NaN or infinity"):
        load_translator(tmp_path / "x.pth")
    with pytest.raises(FileError, match=r"tensor 'model\.1\.bias' holds NaN or infinity"):
        start_from(tmp_path / "x.pth")


def test_a_start_from_another_network_says_which_the_file_is_of(tmp_path: Path) -> None:
    NetworkTranslator(build("UnetGenerator", width=4, depth=2)).save(tmp_path / "unet.safetensors")
    torch.save(build("UnetGenerator", width=4, depth=3).state_dict(), tmp_path / "unet.pth")
    for name, depth in (("unet.safetensors", 2), ("unet.pth", 3)):
        with pytest.raises(FileError, match=rf"the file is of UnetGenerator \(.*width = 4, depth = {depth}, norm"):
            start_from(tmp_path / name)


def test_a_bundle_says_nothing_twice(tmp_path: Path) -> None:
    """What kind of translator a network makes is its class's to say."""
    NetworkTranslator(build(**SMALL)).save(tmp_path / "x.safetensors")
    text = (tmp_path / "x.safetensors").read_bytes()
    assert b"feed-forward" not in text
    header = {"format": 2, "kind": "iterative", "network": "UnetGenerator", "arguments": {}, "notes": {}}
    write_header(tmp_path / "y.safetensors", header)
    with pytest.raises(FileError, match="lacks tensor"):
        load_translator(tmp_path / "y.safetensors")


def test_a_network_of_another_package_does_not_take_the_place_of_ours() -> None:
    with pytest.raises(UserError, match="two networks are named UnetGenerator: diptych and test_hostile_weights each"):
        type("UnetGenerator", (Network,), {"__module__": "test_hostile_weights.inner"})
    assert build("UnetGenerator", depth=2, width=1).__class__.__module__.startswith("diptych.")
    again = type("ConstantNetwork", (Network,), {"__module__": ConstantNetwork.__module__})  # as in a notebook
    assert _NETWORKS["ConstantNetwork"] is again
    _NETWORKS["ConstantNetwork"] = ConstantNetwork


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_writes_is_read_as_torch_reads_it(legacy: bool, tmp_path: Path) -> None:
    dtypes = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    numbers = {str(dtype): torch.arange(6).view(2, 3).to(dtype) for dtype in [*dtypes, torch.uint8, torch.bool]}
    shared = torch.rand(4, 5)
    content = {
        "numbers": numbers,
        "views": [shared, shared.t(), shared[1:, ::2], shared[2, 3], torch.zeros(0, 3), nn.Parameter(shared)],
        "words": {"a": [1, -1, 2**40, -(2**70), 0.5, "é日", None, True], 5: (1, (2, 3), (4, 5, 6), ())},
        "ordered": make_cyclegan().state_dict(),
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    expect_same(read_saved(tmp_path / "x.pth"), torch.load(tmp_path / "x.pth", weights_only=True))


def expect_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        assert (found.dtype, found.stride()) == (wanted.dtype, wanted.stride())
        assert torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key, value in wanted.items():
            expect_same(found[key], value)
    elif isinstance(wanted, list | tuple):
        assert (type(found), len(found)) == (type(wanted), len(wanted))
        for one, other in zip(found, wanted, strict=True):
            expect_same(one, other)
    else:
        assert found == wanted


def test_a_flipped_bit_in_a_checkpoint_is_noticed(sources: list[Path], tmp_path: Path) -> None:
    """In the middle of any tensor's numbers."""
    (source,) = (path for path in sources if path.name == "new.ckpt")
    content = source.read_bytes()
    for place in range(content.index(b"data/0") + 200, content.rindex(b"data/"), len(content) // 12):
        (tmp_path / "x.ckpt").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(FileError, match=r"x\.ckpt: damaged, or no checkpoint at all"):
            verify_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize("key", ["state_dict", "optimizer_states", "loops", "epoch", "callbacks", "global_step"])
def test_a_checkpoint_that_lacks_a_key_is_not_gone_on_from(key: str, sources: list[Path], tmp_path: Path) -> None:
    (source,) = (path for path in sources if path.name == "new.ckpt")
    content = torch.load(source, weights_only=True)
    del content[key]
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(FileError, match=rf"x\.ckpt: its header is damaged: it lacks {key}"):
        verify_checkpoint(tmp_path / "x.ckpt")


def test_the_mutations_are_many() -> None:
    """Each seed writes another file."""
    assert len(hostile_weights.HOSTILE) >= 38
    dice = [hostile_weights.mutate({"a": {"b": [1, 2, 3]}, "c": "x"}, hostile_weights.random.Random(n)) for n in range(40)]
    assert len({json.dumps(one, default=str) for one in dice}) > 25
