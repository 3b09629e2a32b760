"""A logging service that is away, refuses, or has no key never holds up training."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_train import ROOT, make_overrides, read_rows, run, run_apart

from diptych.errors import MachineError, UserError
from diptych.training.machine import (
    choose_layout,
    choose_precision,
    is_wandb_offline,
    require_compiler,
    start_loggers,
)


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
