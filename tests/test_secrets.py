"""What a recipe takes from the environment: however it says so, it gets into no file."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from test_train import load, make_overrides, run, train

from diptych.errors import UserError

pytestmark = pytest.mark.reliability


def test_a_secret_gets_into_no_file(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither itself nor by way of another key; and the run goes on with another one."""
    monkeypatch.setenv("DIPTYCH_TEST_SECRET", f"{tiny_data}")
    monkeypatch.setenv("DIPTYCH_TEST_TOKEN", "s3cr3t-t0ken")
    overrides = [word for word in make_overrides(tiny_data, tmp_path / "run") if not word.startswith("data.root")]
    overrides += ["data.root=${oc.env:DIPTYCH_TEST_SECRET}", "experiment=custom", "callbacks.checkpoint.every=1"]
    overrides += ["+logger.csv={_target_:pytorch_lightning.loggers.CSVLogger,save_dir:'${run_dir}'}"]
    overrides += ["logger.csv.save_dir=${run_dir}", "+logger.csv.name=${logger.csv.prefix}"]
    overrides += ["+logger.csv.prefix=${oc.env:DIPTYCH_TEST_TOKEN}"]
    run(monkeypatch, *overrides)
    held = load(tmp_path / "run")["diptych"]["recipe"]
    assert held["data"]["root"] == "${oc.env:DIPTYCH_TEST_SECRET}"
    assert held["logger"]["csv"]["name"] == "${logger.csv.prefix}"
    recorded = ("config.yaml", "checkpoints/last.ckpt", "translators/ab.safetensors")
    for name in recorded:
        content = (tmp_path / "run" / name).read_bytes()
        assert b"s3cr3t" not in content, name
        assert str(tiny_data).encode() not in content, name
    (tmp_path / "run" / "finished").unlink()
    monkeypatch.setenv("DIPTYCH_TEST_TOKEN", "another")
    run(monkeypatch, *overrides, "resume=auto")
    with pytest.raises(SystemExit):
        run(monkeypatch, *overrides, "resume=auto", "data.batch_size=2")


def test_what_follows_from_the_environment_is_kept_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "x")
    raw = {"a": "${oc.env:X}", "b": {"c": "${a}/d", "e": "${.c}", "f": "${name}", "g": 3}, "h": "${b}", "name": "n"}
    hidden = {
        "made": "${oc.${env}:X}",
        "decoded": "${oc.decode:'\\${oc.en${v}X}'}",
        "created": "${oc.create:{y:'${a}'}}",
        "in a list": "${list.0}",
        "by default": "${oc.env:NOT_THERE_AT_ALL,7}",
    }
    plain = {"env": "env", "v": "v:", "list": ["${oc.select:a}", "${env}", {"z": "${v}"}], "none": None, "no": "???"}
    raw |= hidden | plain
    resolved, record = train.resolution.resolve(OmegaConf.create(raw), raw)
    assert record == raw | {"b": raw["b"] | {"f": "n"}, "list": ["${oc.select:a}", "env", {"z": "v:"}]}
    assert resolved["h"] == resolved["b"] == {"c": "x/d", "e": "x/d", "f": "n", "g": 3}
    assert [resolved[key] for key in hidden] == ["x", "x", {"y": "x"}, "x", "7"]
    assert resolved["list"] == ["x", "env", {"z": "v:"}]


WRITTEN = [
    "name=${oc.env:X}",
    "domains=['${oc.env:X}',B]",
    "callbacks.finish.experiment=${oc.env:X}",
    r"""name="${oc.decode:'\${oc.en${domains.1}X}'}" domains=[a,'v:']""",
    "run_dir=run/${oc.env:X} name=${run_dir}",
]


@pytest.mark.parametrize("word", WRITTEN)
def test_what_translators_hold_is_not_taken_from_the_environment(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("X", "s3cr3t")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, f"run_dir={tmp_path / 'run'}", *word.split())
    assert stop.value.code == UserError.exit_code
    told = capfd.readouterr().err
    assert "is written into translators" in told
    assert "s3cr3t" not in told
    assert not list(tmp_path.iterdir())
