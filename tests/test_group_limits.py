"""How much memory a process may have: of a control group's limit and the machine's memory the smaller."""

from pathlib import Path

import pytest
import torch

from diptych.training import memory
from diptych.training.memory import find_capacity, find_group_limits

pytestmark = pytest.mark.reliability


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/job/step", {"job/step/memory.max": "max", "job/memory.max": "2147483648"}, [2147483648]),
        ("0::/elsewhere/of/the/host", {"memory.max": "4294967296"}, [4294967296]),
        ("4:memory:/box\n0::/", {"memory/box/memory.limit_in_bytes": "1073741824"}, [1073741824]),
        ("2:cpu:/box\n", {"box/memory.max": "1"}, []),
        ("damaged", {}, []),
        (None, {}, []),
    ],
)
def test_limits_are_found_upwards(groups: str | None, files: dict[str, str], limits: list[int], tmp_path: Path) -> None:
    if groups is not None:
        (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(f"{text}\n")
    assert find_group_limits(tmp_path / "groups", tmp_path / "fs") == limits


def test_the_capacity_is_the_smallest_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "find_group_limits", lambda: [2**30, 2**31])
    assert find_capacity(torch.device("cpu")) == 2**30
    monkeypatch.setattr(memory, "find_group_limits", list)
    assert (find_capacity(torch.device("cpu")) or 0) > 2**30
