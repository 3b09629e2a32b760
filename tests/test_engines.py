"""Engines in a process of their own: each runtime brings threads that the other tests had better not share."""

import subprocess
import sys
from pathlib import Path

import pytest

APART = Path(__file__).parent / "engines_apart.py"


@pytest.mark.parametrize("marks", ["not slow", pytest.param("slow", marks=pytest.mark.exhaustive)])
def test_engines(marks: str) -> None:
    command = [sys.executable, "-m", "pytest", "-m", marks, "-p", "no:cacheprovider", str(APART)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=APART.parent.parent, check=False)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
