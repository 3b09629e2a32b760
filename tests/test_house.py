"""The order of the house: one-way imports, short files, and what may be imported where."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "diptych"
LADDER = [
    ["errors", "arguments", "terminal", "plugins", "files", "randomness", "signals"], ["images"], ["networks"],
    ["losses"], ["data"], ["metrics"], ["translators"], ["methods"], ["training"], ["callbacks"], ["inference"],
    ["web"], ["cli"], ["__main__"],
]  # fmt: skip
RUNGS = {name: height for height, names in enumerate(LADDER) for name in names}
GONE = "Thrift|persuade|Duel|Unopposed|landmarks|remembered|by_direction|PatchMapper|_Errand|_Manner|MemoryEstimate"
"""Private words of earlier times, for which the field has its own."""
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [
    *SOURCES,
    ROOT / "train.py",
    *sorted((ROOT / "scripts").rglob("*.py")),
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
def test_rooms_import_from_their_left(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    assert room in RUNGS, f"{path} stands on no rung of the ladder"
    for name in find_imports(path):
        parts = name.split(".")
        if parts[0] == "diptych" and len(parts) > 1 and name != "diptych.__version__":
            assert parts[1] in RUNGS, f"{path} imports {name}, from the package's door"
            assert RUNGS[parts[1]] <= RUNGS[room], f"{room} imports {name}"


def find_file(name: str) -> Path | None:
    """Return the file of a module of ours, a package's `__init__.py` included."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def list_imported_files(path: Path) -> set[Path]:
    """Return the files that a file imports by name; of `from package import module` the module and not the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {find_file(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {find_file(f"{node.module}.{alias.name}") or find_file(node.module) for alias in node.names}
    return {file for file in found if file}


def find_circle(graph: dict[Path, set[Path]]) -> list[Path]:
    """Return files of which each imports the next and the last the first; none where there is no circle."""
    done: set[Path] = set()

    def walk(file: Path, way: list[Path]) -> list[Path]:
        if file in way:
            return way[way.index(file) :]
        if file in done:
            return []
        done.add(file)
        return next(filter(None, (walk(other, [*way, file]) for other in sorted(graph[file]))), [])

    return next(filter(None, (walk(file, []) for file in sorted(graph))), [])


def test_no_file_imports_a_file_that_imports_it() -> None:
    """Wherever in the file and for whatever reason; a package's door counts as importing all that it offers."""
    circle = find_circle({path: list_imported_files(path) for path in SOURCES})
    assert circle == [], " → ".join(str(path.relative_to(PACKAGE)) for path in circle)
    one, two, three = (Path(name) for name in ("one", "two", "three"))
    assert find_circle({one: {two}, two: {three}, three: {two}}) == [two, three]
    assert find_circle({one: {two, three}, two: {three}, three: set()}) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    imported = {name.split(".")[0] for name in find_imports(path)}
    assert not imported & {"hydra", "omegaconf", "wandb"}
    if imported & {"pytorch_lightning", "lightning"}:
        inside = path.relative_to(PACKAGE)
        assert inside.parts[0] in ("methods", "training", "callbacks") or inside == Path("data", "module.py")


def find_prints(text: str) -> list[str]:
    """Return what writes to the terminal past `diptych.terminal`: prints, consoles and bars of Rich, raw streams."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found += [called] if re.fullmatch(r"print|sys\.std(out|err)(\.buffer)?\.write(lines)?", called) else []
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich":
            found += [alias.name for alias in node.names if alias.name in ("Console", "Progress", "print", "track")]
    return found


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "train.py"], ids=lambda path: str(path.relative_to(ROOT)))
def test_only_one_room_writes_to_the_terminal(path: Path) -> None:
    """What comes from outside passes there, or it could move the cursor, forge lines, or be taken for markup."""
    if path != PACKAGE / "terminal.py":
        assert find_prints(path.read_text()) == []


def test_writing_past_the_terminal_is_found() -> None:
    text = "import sys\nfrom rich.console import Console, Group\nprint(1)\nsys.stderr.write('')\nsay(print_nothing())"
    assert sorted(find_prints(text)) == ["Console", "print", "sys.stderr.write"]
    assert find_prints((PACKAGE / "terminal.py").read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_words_are_the_fields(path: Path) -> None:
    text = path.read_text()
    if path == PACKAGE / "translators" / "header.py":
        text = text.replace('"remembered"', "")  # a key in files of the first format, which stay readable
    assert not re.findall(rf"\b\w*(?:{GONE})\w*", text)


@pytest.mark.parametrize(
    ("name", "symbol", "most"),
    [
        ("train.py", None, 60),
        ("src/diptych/methods/method.py", None, 150),
        ("src/diptych/methods/method.py", "Method", 120),
    ],
)
def test_what_fits_on_a_screen_does(name: str, symbol: str | None, most: int) -> None:
    text = (ROOT / name).read_text()
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == symbol]
    lengths = [node.end_lineno - node.lineno + 1 for node in classes] if symbol else [len(text.splitlines())]
    assert len(lengths) == 1
    assert lengths[0] <= most


def test_every_rendering_says_what_it_holds() -> None:
    """A method's own `render` lists its keys and their shapes in words."""
    for path in sorted((PACKAGE / "methods").glob("*.py")):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        for node in (node for node in nodes if node.name == "render" and node.args.args[0].arg == "self"):
            said = ast.get_docstring(node) or ""
            made = set(re.findall(r"['\"](real|fake|identity|cycled|style_code)", ast.unparse(node)))
            assert "N×" in said, path
            assert all(f"`{key}" in said for key in made), path


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


def test_the_house_that_the_readme_draws_is_the_one_that_stands() -> None:
    drawn = re.search(r"```\n(errors.*?train\.py)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert drawn
    rungs = [[name.strip() for name in rung.split(",")] for rung in drawn[1].split("←")]
    rungs = [names for names in rungs if names != [""]]  # where a line ends in the middle
    standing = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES} - {"__init__", "__main__"}
    built = [[name for name in names if name in standing] for names in LADDER]
    assert rungs == [*filter(None, built), ["train.py"]]
    assert standing == {name for names in built for name in names}


def test_ci_runs_the_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert command in (ROOT / "README.md").read_text().splitlines()
    assert "pytest" in command
