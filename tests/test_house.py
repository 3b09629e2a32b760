"""The order of the house: one-way imports, short files, and what may be imported where."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "diptych"
LADDER = [
    "errors", "plugins", "images", "networks", "losses", "data", "metrics",
    "translator", "methods", "callbacks", "inference", "cli",
]  # fmt: skip
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [
    *SOURCES,
    ROOT / "train.py",
    *sorted((ROOT / "scripts").glob("*.py")),
    *sorted((ROOT / "tests").glob("*.py")),
]


def find_imports(path: Path) -> list[str]:
    """Return the dotted names that a file imports, wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    rung = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if rung == "__init__":
        return
    assert rung in LADDER, f"{path} stands on no rung of the ladder"
    for name in find_imports(path):
        parts = name.split(".")
        if parts[0] == "diptych" and len(parts) > 1 and parts[1] in LADDER:
            assert LADDER.index(parts[1]) <= LADDER.index(rung), f"{rung} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    imported = {name.split(".")[0] for name in find_imports(path)}
    assert not imported & {"hydra", "omegaconf", "wandb"}
    if imported & {"pytorch_lightning", "lightning"}:
        assert path.relative_to(PACKAGE).parts[0] in ("methods", "callbacks") or path.name == "module.py"


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_nothing_that_executes_is_loaded() -> None:
    for path in EVERYTHING:
        if path.name != Path(__file__).name:
            assert not re.search(r"weights_only\s*=\s*False|pickle\.load", path.read_text()), path


def test_readme_is_short_and_tracked_text_names_no_registry() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    pattern = re.compile(r"https?://[\w.-]*(?:py[p]i|pythonhost[e]d|npm[j]s)")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".py", ".yaml", ".toml", ".md") and path.is_file():
            assert not pattern.search(path.read_text()), name


def test_ci_runs_the_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert command in (ROOT / "README.md").read_text().splitlines()
    assert "pytest" in command
