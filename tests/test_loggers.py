"""A logging service that is away, refuses, or has no key never holds up training."""

import http.server
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra._internal.hydra import Hydra
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_train import ROOT, make_overrides, read_rows, run, run_apart
from wandb.proto import wandb_internal_pb2

from diptych.data import UnpairedData
from diptych.errors import FileError, MachineError, UserError
from diptych.metrics import DEFAULT, Score, make_metrics
from diptych.training.machine import (
    choose_layout,
    choose_precision,
    is_wandb_offline,
    require_compiler,
    start_loggers,
)
from diptych.training.objective import check_objective, read_objective


class Refusal(http.server.BaseHTTPRequestHandler):
    """Answers every request with 401."""

    def do_POST(self) -> None:
        self.send_error(401)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_wandb_is_offline_without_a_key(no_settings: pytest.MonkeyPatch, refusing_server: str, tmp_path: Path) -> None:
    assert is_wandb_offline()
    no_settings.setenv("WANDB_API_KEY", "x" * 40)
    no_settings.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert is_wandb_offline()  # nobody answers
    no_settings.setenv("WANDB_BASE_URL", refusing_server)
    assert not is_wandb_offline()
    no_settings.setenv("WANDB_MODE", "offline")
    assert is_wandb_offline()
    no_settings.delenv("WANDB_MODE")
    no_settings.delenv("WANDB_API_KEY")
    assert is_wandb_offline()
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login user password {'x' * 40}\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert not is_wandb_offline()


def test_a_refused_key_does_not_stop_training(
    no_settings: pytest.MonkeyPatch, refusing_server: str, tiny_data: Path, tmp_path: Path
) -> None:
    no_settings.setenv("WANDB_API_KEY", "0123456789" * 4)
    no_settings.setenv("WANDB_BASE_URL", refusing_server)
    overrides = make_overrides(tiny_data, tmp_path / "run", "logger=wandb", "logger.wandb.settings.init_timeout=5")
    result = run_apart("experiment=custom", *overrides)
    assert result.returncode == 0, result.stderr
    assert "warning: WandbLogger does not start" in result.stdout
    assert len(read_rows(tmp_path / "run")) == 2


def test_a_resumed_run_goes_on_in_the_same_wandb_run(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = make_overrides(tiny_data, tmp_path / "run", "logger=wandb")
    run(monkeypatch, "experiment=custom", *overrides)
    more = ["resume=auto", "resume_changes=allow", "method.schedule.epochs=2"]
    run(monkeypatch, "experiment=custom", *overrides, *more)
    parts = [path.name.rsplit("-", 1)[1] for path in (tmp_path / "run" / "wandb").glob("offline-run-*")]
    assert len(parts) == 2
    assert parts[0] == parts[1] == (tmp_path / "run" / "wandb_run_id").read_text().strip()


def test_loggers_that_fail_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def log_hyperparams(self, recipe: dict) -> None:
            raise ConnectionError("no route")

    assert start_loggers([Broken()], {}) == []  # type: ignore[list-item]
    assert "Broken does not start (no route)" in capsys.readouterr().out


def test_precision_words() -> None:
    assert choose_precision("fp32") == "32-true"
    assert choose_precision("bf16") == "bf16-mixed"
    assert choose_precision("auto") in ("32-true", "bf16-mixed")
    with pytest.raises(UserError, match="'fp16' is not one of auto, fp32, bf16"):
        choose_precision("fp16")
    assert (ROOT / "conf" / "logger" / "wandb.yaml").is_file()


def test_the_layout_is_chosen_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_layout("auto", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not choose_layout("auto", "auto")
    assert choose_layout(True, "gpu")
    with pytest.raises(UserError, match="channels_last = 'first' is not one of auto"):
        choose_layout("first", "cpu")


def test_compiling_without_a_compiler_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MachineError, match=r"compile=true needs a C\+\+ compiler"):
        require_compiler()


SCORES = set(DEFAULT)
METRICS = make_metrics(DEFAULT)


@pytest.fixture
def quick_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether scores are right is asked elsewhere."""
    monkeypatch.setattr("diptych.metrics.domain_classifier._STEPS", 2)
    monkeypatch.setattr("diptych.metrics.swd.SlicedWasserstein.score", lambda *_: Score(0.25, 0.0, 2))


def list_scores(run_dir: Path) -> dict[str, float]:
    """Return the scores of `metrics.json` by the names that loggers know them by."""
    found = json.loads((run_dir / "metrics.json").read_text())
    return {
        f"metric/{name}_{way}": score["value"]
        for way, scores in found.items()
        for name, score in scores["columns"]["output"].items()
        if score["value"] is not None
    }


@pytest.mark.reliability
@pytest.mark.usefixtures("quick_scores")
def test_scores_reach_the_loggers(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for logger in ("wandb", "tensorboard"):
        overrides = make_overrides(tiny_data, tmp_path / logger, f"logger={logger}", "callbacks.finish.evaluation=true")
        run(monkeypatch, "experiment=custom", *overrides)
    scores = list_scores(tmp_path / "wandb")
    assert scores.keys() == {
        f"metric/{name}_{way}" for name in SCORES - {"roughness", "white_tint"} for way in ("ab", "ba")
    }
    assert read_wandb_summary(tmp_path / "wandb") == pytest.approx(scores)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "tensorboard")).Reload()
    scores = list_scores(tmp_path / "tensorboard")
    assert {name: events.Scalars(name)[-1].value for name in scores} == pytest.approx(scores)


def read_wandb_summary(run_dir: Path) -> dict[str, float]:
    """Return the scores in the summary that an offline run of W&B will upload."""
    (path,) = (run_dir / "wandb").glob("offline-run-*/*.wandb")
    records = [wandb_internal_pb2.Record.FromString(data) for data in read_leveldb_log(path.read_bytes()[7:])]
    updates = [update for record in records for update in record.summary.update]
    found = {"/".join(update.nested_key) or update.key: json.loads(update.value_json) for update in updates}
    return {name: value for name, value in found.items() if name.startswith("metric/")}


def read_leveldb_log(content: bytes, block: int = 32768, offset: int = 7) -> Iterator[bytes]:
    """Yield the records: pieces of checksum, length and kind (1 whole, 4 last, 2 and 3 before), none across blocks."""
    place, record = 0, b""
    while place + 7 <= len(content):
        left = block - (place + offset) % block
        length, kind = struct.unpack_from("<HB", content, place + 4)
        if left < 7 or kind == 0:  # what a block ends with
            place += left
            continue
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """What the jobs of a sweep have returned to Hydra, which hands it to sweepers that search."""
    values, launch = [], Hydra.multirun

    def multirun(self: Hydra, **arguments: object) -> None:
        values.extend(job.return_value for batch in launch(self, **arguments) for job in batch)

    monkeypatch.setattr(Hydra, "multirun", multirun)
    return values


@pytest.mark.usefixtures("quick_scores")
def test_a_run_returns_its_objective(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: list[float | None]
) -> None:
    overrides = ["experiment=custom", *make_overrides(tiny_data, tmp_path, "callbacks.finish.evaluation=true")]
    run(monkeypatch, "-m", *overrides, "objective=psnr_ba,null")
    folder = tmp_path / "objective=psnr_ba"
    score = list_scores(folder)["metric/psnr_ba"]
    assert returned == [score, None]
    run(monkeypatch, "-m", *overrides, "objective=psnr_ba,null", "resume=auto")  # nothing to do, and the score is known
    assert returned == [score, None, score, None]
    (folder / "metrics.json").unlink()
    with pytest.raises(FileError, match="there is no psnr_ba in it"):
        read_objective("psnr_ba", folder)


@pytest.mark.reliability
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective=kid_xy", "objective = kid_xy is not a score of this run, which are psnr_ab, ssim_ab"),
        ("objective=psnr_ba method=cut", "objective = psnr_ba is not a score of this run"),
        ("objective=7", "objective = 7: must be a word or null"),
        ("objective=psnr_ab callbacks.finish.evaluation=false", "needs an evaluation"),
        ("objective=psnr_ab ~callbacks.finish", "needs an evaluation"),
    ],
)
def test_an_objective_that_there_is_not_is_refused_before_training(
    override: str,
    message: str,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    overrides = make_overrides(tiny_data, tmp_path / "run", "callbacks.finish.evaluation=true")
    with pytest.raises(SystemExit) as leaving:
        run(monkeypatch, "experiment=custom", *overrides, *override.split())
    assert leaving.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_scores_that_there_can_be(tiny_data: Path) -> None:
    aligned = UnpairedData(str(tiny_data), load_size=16, crop_size=16)
    for name in SCORES:
        check_objective(f"{name}_ab", aligned, ["ab"], METRICS)
    unlike = {"test_path_a": str(tiny_data / "trainA"), "channels_b": 1}
    apart = UnpairedData(str(tiny_data), load_size=16, crop_size=16, **unlike)
    check_objective("swd_ab", apart, ["ab"], METRICS)
    for name in SCORES - {"swd", "roughness", "white_tint"}:
        with pytest.raises(UserError, match=r"which are swd_ab, roughness_ab, white_tint_ab$"):
            check_objective(f"{name}_ab", apart, ["ab"], METRICS)
