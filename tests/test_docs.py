"""The pages of docs/: every block of code runs, from top to bottom, in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import sweep

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
DAILY = {ROOT / "docs" / "numbers-you-can-trust.md", ROOT / "docs" / "write-a-method.md"}
BLOCK = re.compile(r"^```(sh|python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that a page may add files to; data are only linked."""
    for folder in ("conf", "src"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


def run(block: str, kind: str, folder: Path) -> None:
    """Run a block, or write it to the file that its first line names."""
    if named := re.match(r"# ((?:src|conf)/\S+)\n", block):
        (folder / named[1]).write_text(block)
        return
    command = ["bash", "-euo", "pipefail", "-c", block] if kind == "sh" else [sys.executable, "-c", block]
    tools = Path(sys.executable).parent
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", sweep(PAGES, DAILY), ids=lambda page: page.stem)
def test_every_block_of_a_page_runs(page: Path, checkout: Path) -> None:
    blocks = BLOCK.findall(page.read_text())
    assert blocks, f"{page.name} shows nothing that can be run"
    for kind, block in blocks:
        run(block, kind, checkout)


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md"), ROOT / "conf" / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_promise_of_reliability_is_marked() -> None:
    """`pytest -m reliability` leaves out no file that the record names."""
    record = (ROOT / "experiments" / "reliability" / "README.md").read_text()
    named = set(re.findall(r"test_\w+\.py", record))
    assert len(named) > 20
    assert [name for name in sorted(named) if "mark.reliability" not in (ROOT / "tests" / name).read_text()] == []
