"""Going on with a run by its folder alone, wherever that lies now, and by whatever is whole in it."""

import shutil
from pathlib import Path

import pytest
import yaml
from test_resume import WHOLE, assert_same_end, stop_at
from test_train import load, make_overrides, run

pytestmark = pytest.mark.reliability
RECIPE = [*WHOLE, "method=gan", "method.schedule.decay_epochs=0", "~method.augmentation", "~callbacks.samples"]


@pytest.fixture(scope="module")
def whole_and_stopped(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of five batches, and the same one stopped after three."""
    import signal

    root = tmp_path_factory.mktemp("going-on")
    recipe = [word for word in WHOLE if not word.startswith(("+method.augmentation", "method.pool_size"))]
    recipe += ["method=gan", "method.schedule.decay_epochs=0", "~callbacks.samples"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, *make_overrides(tiny_data, root / "whole"), *recipe)
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            stop_at(patched, 3, signal.SIGTERM)
            run(patched, *make_overrides(tiny_data, root / "stopped"), *recipe)
    assert load(root / "stopped")["diptych"]["iteration"] == 3
    return root / "whole", root / "stopped"


@pytest.fixture
def stopped(whole_and_stopped: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy elsewhere of the stopped run's folder."""
    return shutil.copytree(whole_and_stopped[1], tmp_path / "moved")


def test_the_folder_alone_says_what_is_gone_on_with(
    whole_and_stopped: tuple[Path, Path], stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped.parent)
    run(monkeypatch, "run_dir=moved", "resume=auto")
    assert_same_end(whole_and_stopped[0], stopped)
    assert (whole_and_stopped[0] / "metrics.csv").read_bytes() == (stopped / "metrics.csv").read_bytes()
    assert not (whole_and_stopped[1] / "finished").exists()
