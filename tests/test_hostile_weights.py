"""Files of weights that mean harm, or are damaged: one line, whatever they are, in little memory and time."""

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_weights
import pytest
import torch
from conftest import make_cyclegan, make_trainer, sweep
from hostile_weights import HOSTILE, write_mutant
from test_safety import LIGHTNING

from diptych.cli import main
from diptych.errors import FileError, UserError
from diptych.methods.pretrained import Pretrained
from diptych.networks import build
from diptych.training.checkpoint import RunState
from diptych.training.checkpoint_files import verify_checkpoint
from diptych.training.resume import Resumption
from diptych.translators import NetworkTranslator, load_translator

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
def test_hostile_files_cost_a_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych.networks.saved._MOST", 50_000)  # what it really is, another test waits for
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
    for read in tests.READERS[: 2 if name.endswith("safetensors") else 1]:  # one way through each door
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
                assert str(error).startswith((f"{path}: ", "said on stderr")), seed
            except Exception as error:
                raise AssertionError(f"seed {seed}, {read.__name__}: {error!r}") from error
        assert time.monotonic() - start < 30, seed
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, seed
        assert "Traceback" not in capfd.readouterr().err
    assert outcomes >= {"read", "FileError"}


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
    dice = [
        hostile_weights.mutate({"a": {"b": [1, 2, 3]}, "c": "x"}, hostile_weights.random.Random(n)) for n in range(40)
    ]
    assert len({json.dumps(one, default=str) for one in dice}) > 25
