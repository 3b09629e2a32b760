"""The processes that torchrun or SLURM has started for one run: one folder, and when one fails all end."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from lightning_fabric.plugins.environments import ClusterEnvironment, SLURMEnvironment, TorchElasticEnvironment
from torch.distributed import DistError, rendezvous

from diptych.errors import MachineError, UserError, name_reason
from diptych.terminal import complain
from diptych.training.machine import count_devices

START = timedelta(minutes=5)
"""How long processes wait for each other in the beginning; nodes are not equally quick at importing."""
END = timedelta(minutes=1)
LOOK = 1.0  # seconds between two looks at how the others are, and between two signs of life
SILENCE = 3.0  # seconds without one, after which a process that cannot tell, as it was killed, is taken for dead
DDP = "ddp_find_unused_parameters_true"
"""How processes go together: each player's gradients touch only its own networks, the others are "unused"."""
_FAILED = "failed"
_BY_HAND = {"NODE_RANK", "GROUP_RANK", "MASTER_ADDR"}  # what somebody says who starts one process a node himself
_NODES = "start the processes of every node by torchrun or srun, and leave this out"


class Job:
    """This process among those of its run: `rank` of `size`. One that nothing but a user has started is alone."""

    def __init__(self, environment: ClusterEnvironment | None = None, sweeps: bool = False) -> None:
        self.environment, self.sweeps = environment, sweeps
        self.rank, self.size = (environment.global_rank(), environment.world_size()) if environment else (0, 1)
        self._store: Any = None
        self._watched: Any = None
        self._ended = threading.Event()

    @property
    def leads(self) -> bool:
        """Whether this process holds the run folder: the first of its job, and of what Lightning has started."""
        return self.rank == 0 and all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))

    @property
    def name(self) -> str:
        """What the job is called where it was started."""
        slurm, torchrun = os.environ.get("SLURM_JOB_ID"), os.environ.get("TORCHELASTIC_RUN_ID", "none")
        return f"SLURM job {slurm}" if slurm else "" if torchrun == "none" else f"torchrun {torchrun}"

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Meet the other processes; when one fails in here, all end within seconds, each with a line.

        `MachineError` where not all come. Who ends well waits for nobody, except that the first, who may keep the
        store in which they meet, leaves last.
        """
        if self.size == 1:
            yield
            return
        self._refuse_sweep()
        self._store = self._meet()
        self._watched = self._store.clone()  # of its own, for a store is locked by who waits
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield
        except SystemExit:  # a clean stop, which all have agreed on
            self._leave(watcher)
            raise
        except BaseException as error:
            lost = self._is_lost(error)
            who = (self._find_failed() or self._find_silent()) if lost else str(self.rank)
            self._ended.set()
            self._tell(who)
            if lost:
                raise MachineError(self._describe(self._find_failed())) from None
            raise
        self._leave(watcher)

    def share(self, key: str, value: str) -> str:
        """Return the first process's value, to all."""
        if self._store is None:
            return value
        if self.rank == 0:
            self._store.set(key, value)
        return self._store.get(key).decode()

    def count_processes(self, trainer: Mapping[str, Any]) -> int:
        """Return how many processes train: those that were started, or what Lightning starts for these settings."""
        if self.size > 1:
            return self.size
        nodes: int = trainer.get("num_nodes", 1)
        return nodes * count_devices(trainer.get("devices", "auto"), trainer.get("accelerator", "auto"))

    def arrange(self, trainer: Mapping[str, Any]) -> dict[str, Any]:
        """Return `devices` and `num_nodes` for a trainer that uses each process once, and how several go together.

        `UserError` where its settings say otherwise, and where a sweep would be begun by each process.
        """
        several = self.count_processes(trainer) > 1
        if trainer.get("strategy") or several:
            self._refuse_sweep()
        if self.size == 1:
            if (trainer.get("strategy") or several) and SLURMEnvironment.detect() and not _is_srun():
                raise UserError("trainer=ddp within a SLURM job needs srun before python, which starts the processes")
            if trainer.get("num_nodes", 1) > 1 and not _BY_HAND & os.environ.keys():
                raise UserError(f"trainer.num_nodes = {trainer['num_nodes']}: {_NODES}")
            return {"strategy": DDP} if several and trainer.get("strategy", "auto") in (None, "auto") else {}
        if not trainer.get("strategy"):
            raise UserError(f"{self.size} processes were started for this run: add trainer=ddp, or start one")
        here = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE") or self.size)
        layout = {"devices": here, "num_nodes": self.size // here}
        for key, count in layout.items():
            if trainer.get(key, "auto") not in ("auto", count):
                raise UserError(f"trainer.{key} = {trainer[key]}, but {count} were started: leave it out")
        return layout

    def _refuse_sweep(self) -> None:
        if self.sweeps:
            raise UserError("-m with several processes: each would start the whole sweep again; run the jobs singly")

    def _meet(self) -> Any:
        assert self.environment is not None
        os.environ["MASTER_ADDR"] = self.environment.main_address
        os.environ["MASTER_PORT"] = str(self.environment.main_port)
        try:
            return next(rendezvous("env://", self.rank, self.size, timeout=START))[0]
        except (RuntimeError, ValueError) as error:
            raise MachineError(f"the {self.size} processes of this run did not meet: {name_reason(error)}") from None

    def _leave(self, watcher: threading.Thread) -> None:
        self._ended.set()
        watcher.join()
        self._store.set(f"left {self.rank}", "")
        if self.rank == 0:
            with suppress(RuntimeError):  # one that has died; it was told of, or is no matter any more
                self._store.wait([f"left {rank}" for rank in range(self.size)], END)

    def _is_lost(self, error: BaseException) -> bool:
        """Whether an error only comes of another's end: of a connection, or while the other tells of its own."""
        if isinstance(error, UserError):
            return False
        return isinstance(error, DistError) or "gloo" in str(error) or self._find_failed() is not None

    def _find_failed(self) -> str | None:
        """Return the process that has failed, by its number; the first where the store is gone that it kept."""
        try:
            return self._watched.get(_FAILED).decode() if self._watched.check([_FAILED]) else None
        except RuntimeError:
            return "0"

    def _find_silent(self) -> str | None:
        """Return the process that gives no sign of life for a while, by its number; who lives goes on giving them."""
        try:
            others = [str(rank) for rank in range(self.size) if rank != self.rank]
            before = {rank: self._watched.add(f"alive {rank}", 0) for rank in others}
            self._ended.wait(SILENCE)
            return next((rank for rank in others if self._watched.add(f"alive {rank}", 0) == before[rank]), None)
        except RuntimeError:
            return self._find_failed()

    def _tell(self, who: str | None) -> None:
        """Say who has failed, to all; who was said first has."""
        with suppress(RuntimeError):  # the store is gone with the first process, which has failed as well
            if who is not None:
                self._watched.compare_set(_FAILED, "", who)

    def _describe(self, who: str | None) -> str:
        return f"process {who or 'elsewhere'} of this run has failed; process {self.rank} ends"

    def _watch(self) -> None:
        while not self._ended.wait(LOOK):
            with suppress(RuntimeError):  # the store is gone, as is said next
                self._watched.add(f"alive {self.rank}", 1)
            if (who := self._find_failed()) and not self._ended.is_set():
                complain(f"error: {self._describe(who)}")
                os._exit(MachineError.exit_code)  # the main thread may wait for the lost process for ever


def find_job(sweeps: bool = False) -> Job:
    """Return this process's job, one of a sweep or not; `UserError` where SLURM's variables contradict each other."""
    kinds = (kind for kind in (TorchElasticEnvironment, SLURMEnvironment) if kind.detect())
    if (kind := next(kinds, None)) is None or (kind is SLURMEnvironment and not _is_srun()):
        return Job(sweeps=sweeps)
    try:
        return Job(kind(), sweeps)
    except RuntimeError as error:  # Lightning's words on tasks without tasks per node
        raise UserError(" ".join(str(error).split())) from None


def _is_srun() -> bool:
    """Whether srun has started this process; a job's script and its shell have the variables of tasks as well."""
    return "SLURM_STEP_ID" in os.environ
