"""Networks and methods of somebody's own installed package, found by its entry points."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from diptych_toys.sampled import SampledNetwork
from diptych_toys.scaled import ScaledNetwork
from diptych_toys.stepped import SteppedNetwork
from test_train import ROOT, make_overrides

from diptych.errors import FileError, UserError
from diptych.networks import Network, build
from diptych.training.classes import find_class

TOYS = ROOT / "tests" / "toys"
BUILD = "from diptych.networks import build; print(type(build('{}')).__module__)"
SAVE = """
import sys, torch
from pathlib import Path
from diptych.networks import build
from diptych.translators import NetworkTranslator
NetworkTranslator(build("SampledNetwork", size=2)).save(Path(sys.argv[1]))
"""
LOAD = """
import sys, torch
from diptych.errors import UserError
from diptych.translators import load_translator
try:
    print(load_translator(sys.argv[1])(torch.rand(1, 3, 8, 8)).shape)
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def run_python(*arguments: str, packages: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a fresh Python that has these folders of packages besides the house's own."""
    path = os.pathsep.join(map(str, (ROOT / "src", *packages)))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with a package whose module cannot be imported, and whose second entry point is not understood."""
    folder = tmp_path / "packages"
    (folder / "aaa_broken-1.0.dist-info").mkdir(parents=True)
    (folder / "aaa_broken.py").write_text("import a_module_that_is_nowhere\n")
    (folder / "aaa_broken-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: aaa-broken\nVersion: 1\n"
    )
    points = "[diptych.networks]\nbroken = aaa_broken\nnonsense = not!a!module\n"
    (folder / "aaa_broken-1.0.dist-info" / "entry_points.txt").write_text(points)
    return folder


@pytest.mark.exhaustive
def test_a_network_is_found_where_its_package_is_installed() -> None:
    done = run_python("-c", BUILD.format("SampledNetwork"), packages=(TOYS,))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "diptych_toys.sampled", "")


@pytest.mark.parametrize(
    "made", [SampledNetwork(size=2), SteppedNetwork(steps=5), ScaledNetwork()], ids=lambda made: type(made).__name__
)
def test_a_network_of_another_package_is_made_again_from_its_words(made: Network) -> None:
    again = build(made.describe()["network"], **made.describe()["arguments"])
    assert type(again) is type(made)
    assert again.describe() == made.describe()


@pytest.mark.exhaustive
def test_an_unknown_network_is_still_unknown() -> None:
    done = run_python("-c", BUILD.format("SampledNetwrok"), packages=(TOYS,))
    assert done.returncode == 1
    assert "unknown network 'SampledNetwrok' (did you mean 'SampledNetwork'?); known:" in done.stderr


def test_a_bundle_is_loaded_with_its_package_and_refused_in_a_line_without(tmp_path: Path) -> None:
    bundle = str(tmp_path / "ab.safetensors")
    assert run_python("-c", SAVE, bundle, packages=(TOYS,)).returncode == 0
    loaded = run_python("-c", LOAD, bundle, packages=(TOYS,))
    assert (loaded.returncode, loaded.stdout.strip()) == (0, "torch.Size([1, 3, 8, 8])")
    refused = run_python("-c", LOAD, bundle)
    assert refused.returncode == FileError.exit_code
    assert refused.stderr.startswith(f"{bundle}: unknown network 'SampledNetwork'")
    assert refused.stderr.count("\n") == 1


def test_a_broken_package_costs_a_line_and_stops_nobody(broken: Path) -> None:
    done = run_python("-c", BUILD.format("SampledNetwork"), packages=(broken, TOYS))
    assert (done.returncode, done.stdout.strip()) == (0, "diptych_toys.sampled")
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("warning: entry point broken = aaa_broken (diptych.networks) of aaa-broken cannot be")
    assert "a_module_that_is_nowhere" in lines[0]
    assert "nonsense = not!a!module" in lines[1]


def test_a_broken_package_is_warned_of_once(broken: Path) -> None:
    again = "from diptych.plugins import load_plugins\nfor _ in range(3): load_plugins('diptych.networks')"
    assert run_python("-c", again, packages=(broken,)).stderr.count("aaa_broken") == 1


def make_recipe(data: Path, run_dir: Path, target: str) -> list[str]:
    """Return the overrides of two batches with a method and a network of somebody else's."""
    network = "method.generator={network: SampledNetwork}"
    more = ("experiment=custom", "method=gan", f"method._target_={target}", "~callbacks.samples", network)
    return make_overrides(data, run_dir, *more)


def test_a_method_of_another_package_trains(tiny_data: Path, tmp_path: Path, broken: Path) -> None:
    """Also beside a package that is broken."""
    overrides = make_recipe(tiny_data, tmp_path / "run", "diptych_toys.sampled.Sampled")
    done = run_python("train.py", *overrides, packages=(broken, TOYS))
    assert done.returncode == 0, done.stderr
    bundle = tmp_path / "run" / "translators" / "ab.safetensors"
    assert run_python("-c", LOAD, str(bundle), packages=(TOYS,)).stdout.strip() == "torch.Size([1, 3, 8, 8])"


@pytest.mark.exhaustive
def test_a_network_of_another_package_trains_in_a_method_of_the_house(tiny_data: Path, tmp_path: Path) -> None:
    """Nothing but its name leads to it."""
    overrides = make_recipe(tiny_data, tmp_path / "run", "diptych.methods.GAN")
    done = run_python("train.py", *overrides, packages=(TOYS,))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "translators" / "ab.safetensors").is_file()


def test_a_class_of_a_package_that_is_not_there_is_refused_in_a_line(tiny_data: Path, tmp_path: Path) -> None:
    target = "diptych_toys.sampled.Sampled"
    done = run_python("train.py", *make_recipe(tiny_data, tmp_path / "run", target))
    assert done.returncode == UserError.exit_code
    assert done.stderr.startswith(f"error: method._target_ = {target!r}: is not allowed in a recipe")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("diptych_toys.nowhere.Sampled", r"diptych_toys\.nowhere cannot be imported \(No module"),
        ("diptych_toys_more.Sampled", "is not allowed in a recipe"),
        ("diptych_toys.sampled", "is not allowed in a recipe"),
        ("diptych_toys.sampled.nn.Conv2d", "cannot be imported"),
        ("diptych_toys.sampled.Tensor", "is not allowed in a recipe"),
    ],
)
def test_what_is_no_class_of_a_package_is_refused(target: str, said: str) -> None:
    assert find_class("method", "diptych_toys.sampled.Sampled").__name__ == "Sampled"
    with pytest.raises(UserError, match=rf"^method\._target_.*{said}"):
        find_class("method", target)


def test_a_class_of_a_broken_package_is_refused_in_a_line(tiny_data: Path, tmp_path: Path, broken: Path) -> None:
    done = run_python("train.py", *make_recipe(tiny_data, tmp_path / "run", "aaa_broken.Method"), packages=(broken,))
    assert done.returncode == UserError.exit_code
    assert done.stderr.startswith("error: method._target_: aaa_broken cannot be imported (No module named")
    assert done.stderr.count("\n") == 1
