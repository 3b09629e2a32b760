"""Processes that Lightning did not start: two nodes of torchrun, tasks of SLURM; one folder, one lock, one end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from test_train import CONF, ROOT, load, make_overrides, run, run_apart, train

from diptych.errors import UserError
from diptych.training.job import Job, find_job
from diptych.training.resume import Resumption

pytestmark = [pytest.mark.reliability, pytest.mark.skipif(os.name != "posix", reason="processes are POSIX")]
TWO = ["experiment=custom", "trainer=ddp", "trainer.accelerator=cpu"]
Start = Callable[..., subprocess.Popen]


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def make_slurm(rank: int, port: int, tasks: int = 2) -> dict[str, str]:
    """Return what srun tells the tasks of a job on one node."""
    told = {"JOB_ID": "4711", "JOB_NAME": "train", "STEP_ID": "0", "NTASKS": tasks, "NTASKS_PER_NODE": tasks}
    told |= {"NNODES": 1, "NODEID": 0, "NODELIST": "127.0.0.1", "PROCID": rank, "LOCALID": rank}
    return {f"SLURM_{name}": str(value) for name, value in told.items()} | {"MASTER_PORT": str(port)}


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command, and end it with the test."""
    started: list[subprocess.Popen] = []

    def begin(*command: str, **environment: str) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def start_tasks(start: Start, *overrides: str, second: tuple[str, ...] = ()) -> list[subprocess.Popen]:
    port = find_port()
    return [
        start(sys.executable, "train.py", *overrides, *(second if rank else ()), **make_slurm(rank, port))
        for rank in range(2)
    ]


@pytest.mark.slow
def test_two_nodes_of_torchrun_share_a_run_folder(start: Start, tiny_data: Path, tmp_path: Path) -> None:
    """The folder's name holds the microsecond, which is another for each process."""
    overrides = [*make_overrides(tiny_data, tmp_path / "${now:%S-%f}"), *TWO]
    where = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={find_port()}"]
    command = [sys.executable, "-m", "torch.distributed.run", *where]
    nodes = [start(*command, f"--node-rank={rank}", "train.py", *overrides) for rank in range(2)]
    told = [node.communicate(timeout=180) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    (folder,) = [path for path in tmp_path.iterdir() if (path / "config.yaml").is_file()]
    assert len(load(folder)["diptych"]["processes"]) == 2
    assert (folder / "finished").is_file()


@pytest.mark.slow
def test_a_task_that_fails_takes_the_other_down(start: Start, tiny_data: Path, tmp_path: Path) -> None:
    overrides = [*make_overrides(tiny_data, tmp_path / "run"), *TWO]
    tasks = start_tasks(start, *overrides, second=(f"data.root={tmp_path / 'nowhere'}",))
    told = [task.communicate(timeout=60)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [6, 4]
    assert "error: process 1 of this run has failed; process 0 ends" in told[0]
    assert "nowhere/trainA: no such folder" in told[1]
    assert "Traceback" not in "".join(told)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_one_lock_for_a_job_and_a_killed_task_ends_it(start: Start, tiny_data: Path, tmp_path: Path) -> None:
    endless = [*make_overrides(tiny_data, tmp_path / "run", *TWO), "method.schedule.epochs=100000"]
    tasks = start_tasks(start, *endless)
    metrics = tmp_path / "run" / "metrics.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.is_file() and len(metrics.read_text().splitlines()) > 3):
        assert [task.poll() for task in tasks] == [None, None], tasks[0].communicate()
        time.sleep(0.2)
    second = run_apart(*make_overrides(tiny_data, tmp_path / "run"), "resume=auto")
    assert second.returncode == 2
    assert f"in use by pid {tasks[0].pid} on host {socket.gethostname()}" in second.stderr
    assert "SLURM job 4711" in second.stderr
    tasks[1].send_signal(signal.SIGKILL)
    _, told = tasks[0].communicate(timeout=30)
    assert tasks[0].returncode == 6
    assert told.count("error:") == 1
    assert "error: process 1 of this run has failed; process 0 ends" in told
    assert "Traceback" not in told


def test_a_job_says_which_trainer_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in make_slurm(1, 29500).items():
        monkeypatch.setenv(name, value)
    job = find_job()
    assert (job.rank, job.size, job.leads) == (1, 2, False)
    assert job.arrange({"strategy": "ddp", "devices": "auto"}) == {"devices": 2, "num_nodes": 1}
    with pytest.raises(UserError, match="2 processes were started for this run: add trainer=ddp"):
        job.arrange({"devices": 1})
    with pytest.raises(UserError, match=r"trainer.devices = 3, but 2 were started"):
        job.arrange({"strategy": "ddp", "devices": 3})


def test_a_sweep_is_no_job_for_several_tasks(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in make_slurm(0, find_port()).items():
        monkeypatch.setenv(name, value)
    train.sweep.finish()
    run(monkeypatch, "-m", *make_overrides(tiny_data, tmp_path / "run"), *TWO, "seed=1,2")
    assert train.sweep.finish() == UserError.exit_code
    assert "-m with several processes" in capsys.readouterr().err
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_sweep_starts_no_processes_of_its_own() -> None:
    assert Job(sweeps=True).arrange({"devices": 1}) == {}
    with pytest.raises(UserError, match="-m with several processes"):
        Job(sweeps=True).arrange({"strategy": "ddp"})


def test_a_script_of_slurm_is_alone_but_cannot_start_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in make_slurm(0, 29500).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_STEP_ID")
    job = find_job()
    assert job.size == 1
    assert job.arrange({"devices": 1}) == {}
    with pytest.raises(UserError, match="needs srun"):
        job.arrange({"strategy": "ddp"})


def test_several_devices_go_together_as_by_the_trainer_for_them() -> None:
    """Players take turns, which Lightning's own choice, plain DDP, does not survive."""
    ddp = OmegaConf.to_container(OmegaConf.load(CONF / "trainer" / "ddp.yaml"))
    for settings in ({"devices": 2}, {"devices": [0, 1]}, {"devices": "2", "strategy": "auto"}, {"devices": "0,1"}):
        assert Job().arrange(settings) == {"strategy": ddp["strategy"]}
        with pytest.raises(UserError, match="-m with several processes"):
            Job(sweeps=True).arrange(settings)
    for settings in ({"devices": 2, "strategy": "ddp_spawn"}, {"devices": [3]}, {"devices": 1}, {}):
        assert Job().arrange(settings) == {}


def test_another_number_of_processes_is_a_change(tmp_path: Path) -> None:
    """However many `trainer.devices=auto` are where it goes on."""
    header = {"format": 2, "recipe": {"seed": 1}, "processes": [{}, {}]}
    before = Resumption(tmp_path / "last.ckpt", {"diptych": header})
    assert before.check_changes({"seed": 1}, allowed=False, processes=2) == []
    with pytest.raises(UserError, match=r"differs from that of .* \(processes: 2 → 1\)"):
        before.check_changes({"seed": 1}, allowed=False, processes=1)
    assert before.check_changes({"seed": 1}, True, processes=1) == ["changed since the checkpoint: processes: 2 → 1"]


def test_several_nodes_need_somebody_who_starts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^trainer\.num_nodes = 2: start the processes of every node by torchrun or"):
        Job().arrange({"devices": 1, "num_nodes": 2})
    monkeypatch.setenv("NODE_RANK", "1")
    assert Job().arrange({"devices": 1, "num_nodes": 2}).keys() == {"strategy"}


@pytest.mark.parametrize("name", ["LOCAL_RANK", "NODE_RANK"])
def test_only_the_first_process_holds_the_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Job().leads
    monkeypatch.setenv(name, "1")
    assert not Job().leads


def test_contradictory_variables_of_slurm_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in make_slurm(0, 29500).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(UserError, match="--ntasks=2") as refusal:
        find_job()
    assert "\n" not in str(refusal.value)
