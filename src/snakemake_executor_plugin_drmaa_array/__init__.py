"""Snakemake executor over DRMAA 1 that tells the truth about its jobs, on Grid Engine, Slurm and PBS.

A job has succeeded when the marker that its own script wrote says so; what the scheduler tells through `wait` is the second
witness, for jobs that could not write one. Jobs are submitted as arrays, survive an outage of the scheduler and the death of
the master, and are all ended by Ctrl-C.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from . import native, reason, tasks
from .child import Away, Child, Refused, Unloadable
from .journal import Journal, Task

FOLDER = Path(".snakemake/drmaa-array")
LOGS = Path(".snakemake/drmaa-array-logs")  # of failed jobs, named by the scheduler's ids
HANDED_OVER = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "LANG", "LC_ALL")
LOOKED_AT = 50  # jobs whose state is asked for in one poll; the others had an end to tell, and told none
SETTLED = 30.0  # after its submission a job may be unknown for a moment [s]
SILENCE = 60.0  # without an answer the scheduler is away, though the library says nothing [s]
STEADY = 5.0  # answers for so long end an outage: a library alternates between answers and errors while its scheduler starts [s]
PATIENCE = 60.0  # for one answer when the workflow starts or stops [s]


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Settings of a profile: `drmaa-array-<name>`."""

    system: str = field(default="", metadata={"help": "Scheduler: ge, slurm or pbs; asked of the library if not given"})
    library: str = field(default="", metadata={"help": "Path of libdrmaa; DRMAA_LIBRARY_PATH if not given"})
    queue: str = field(default="", metadata={"help": "Queue or partition, of jobs without a resource `queue`"})
    account: str = field(default="", metadata={"help": "Account or project, of jobs without a resource `account`"})
    extra: str = field(default="", metadata={"help": "Native options added to each submission, as they are"})
    prelude: str = field(default="", metadata={"help": "Shell command run before each job, such as `module load conda`"})
    env: str = field(default="", metadata={"help": f"Variables handed over besides {', '.join(HANDED_OVER)}: A,B"})
    pe: str = field(default="smp", metadata={"help": "Grid Engine: parallel environment of jobs with more than one thread"})
    mem_resource: str = field(default="h_vmem", metadata={"help": "Grid Engine: resource that takes the memory, per slot"})
    node: str = field(default="", metadata={"help": "PBS: what is added to select, such as `:os=rh7`"})
    array_size: int = field(default=1000, metadata={"help": "Tasks of one array at most; 1 submits each job alone"})
    outage: int = field(default=3600, metadata={"help": "Seconds that an outage of the scheduler is sat out"})


common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=1,
)


@dataclass
class Watched:
    """A job that was handed to the scheduler, and the signs of its end."""

    info: SubmittedJobInfo
    task: Task
    since: float = field(default_factory=time.monotonic)
    why: str | None = None
    ended: float | None = None
    unknown: int = 0


class Executor(RemoteExecutor):
    """Submits through a child process, polls markers, and sits out what can be sat out."""

    ready = False  # Snakemake starts to poll a second after it began to make the executor, whether or not it is made

    def __post_init__(self) -> None:
        self.settings: ExecutorSettings = self.workflow.executor_settings
        self.child = Child(self.settings.library or None)
        self.system = self.settings.system or self._system()
        if self.system not in native.SYSTEMS:
            raise WorkflowError(f"drmaa-array-system: must be one of {', '.join(native.SYSTEMS)}, got {self.system!r}")
        self.journal = Journal(FOLDER)
        self.left = self.journal.left()
        names = [*HANDED_OVER, *(n.strip() for n in self.settings.env.split(",") if n.strip())]
        exported = {n: os.environ[n] for n in names if n in os.environ}
        tasks.write_runner(self.journal.folder, os.getcwd(), exported, self.settings.prelude)
        self.watched: dict[str, Watched] = {}
        self.batches = 0
        self.submitting: set[Future[Any]] = set()
        self.waiting: list[list[tuple[Any, Task]]] = []
        self.polling: Future[Any] | None = None
        self.asked = 0.0
        self.looked = 0
        self.looking: list[str] = []
        self.down: float | None = None
        self.failed = 0.0
        self.stopping = False
        self.ready = True

    def _system(self) -> str:
        try:
            about = self.child.ask("hello").result(PATIENCE)
        except Unloadable as error:
            raise WorkflowError(
                f"the DRMAA library cannot be loaded ({error}); set DRMAA_LIBRARY_PATH, or drmaa-array-library in the profile, "
                "to the libdrmaa.so of your scheduler"
            ) from None
        except (Away, Refused, TimeoutError) as error:
            self.child.close()
            raise WorkflowError(f"the scheduler does not answer ({error}); nothing was submitted") from None
        return native.system_of(" ".join(about.values()))

    # ------------------------------------------------------------------------------------------------------- submission
    def run_job(self, job: Any) -> None:
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Any]) -> None:
        """Take over those that a dead master left, and submit the others: one array per rule and demand."""
        groups = defaultdict(list)
        for job in jobs:
            self.run_job_pre(job)
            specification, digest = self._specification(job), digest_of(job)
            if not self._taken_over(job, digest):
                groups[job.name, specification].append((job, digest))
        for (name, specification), members in groups.items():
            for first in range(0, len(members), max(1, self.settings.array_size)):
                self._submit(self._batch(name, specification, members[first : first + max(1, self.settings.array_size)]))

    def _specification(self, job: Any) -> str:
        s = self.settings
        asked = native.demand(job.resources, job.threads, s.queue, s.account, s.extra)
        return native.specification(self.system, asked, native.Site(s.pe, s.mem_resource, s.node))

    def _batch(self, name: str, specification: str, members: list[tuple[Any, str]]) -> list[tuple[Any, Task]]:
        """Write the scripts of a batch; the tasks, noted in the journal before the scheduler hears of them."""
        self.batches += 1
        batch = []
        for index, (job, digest) in enumerate(members, 1):
            path = str(self.journal.folder / f"{self.batches}.{index}")
            self.write_jobscript(job, f"{path}.sh")
            batch.append((job, Task(path, name, tuple(map(str, job.output)), digest, specification)))
        self.journal.planned([task for _, task in batch])
        return batch

    def _submit(self, batch: list[tuple[Any, Task]]) -> None:
        first, array = batch[0][1], len(batch) > 1 and self.system != "pbs"
        for part in [batch] if array else [[each] for each in batch]:
            path = Path(part[0][1].path)
            number, _, index = path.name.partition(".")
            log = f"{path.parent}/{number}.{'$drmaa_incr_ph$' if array else index}.log"
            script = [str(path.parent / tasks.RUNNER), number, "-" if array else index]
            ask = {"script": script, "name": f"snakejob.{first.rule}", "log": log, "native": first.native, "count": len(part)}
            future = self.child.ask("submit", **ask)
            self.submitting.add(future)
            future.add_done_callback(partial(self._submitted, part))

    def _submitted(self, batch: list[tuple[Any, Task]], future: "Future[Any]") -> None:
        """Called with the scheduler's answer, in the thread that reads the child."""
        try:
            ids = future.result()
        except Away as error:
            self._is_down(error)
            self.waiting.append(batch)
        except (Refused, Unloadable) as error:
            native_words = batch[0][1].native
            for job, task in batch:
                self.journal.ended(task)
                tasks.remove(task.path)
                self.report_job_error(
                    SubmittedJobInfo(job), msg=f"the scheduler refused the submission ({error}); options given: {native_words}. "
                )
        else:
            known = [(job, replace(task, id=id)) for (job, task), id in zip(batch, ids, strict=True)]
            self.journal.submitted([task for _, task in known])
            for job, task in known:
                self._watch(job, task)
        finally:
            self.submitting.discard(future)

    def _watch(self, job: Any, task: Task) -> None:
        info = SubmittedJobInfo(job, external_jobid=task.id, aux={"path": task.path})
        self.watched[task.path] = Watched(info, task)
        self.report_job_submission(info)

    def _taken_over(self, job: Any, digest: str) -> bool:
        """Whether a job runs already, or has run well, since a master that died submitted it."""
        task = self.left.pop(tuple(map(str, job.output)), None)
        if task is None:
            return False
        ending = tasks.endings(Path(task.path).parent).get(task.path)
        task = replace(task, id=task.id or tasks.claimed_by(task.path))
        begun = task.id is not None or not tasks.claim(task.path)
        good = ending is None or (ending.code == 0 and fresh(task, job))
        if not begun or not good or task.digest != digest:
            if begun and ending is None and task.id:
                self.logger.info(f"Ending job {task.id} of an earlier run, whose command was another.")
                self.child.ask("terminate", jobs=[task.id], wait=True)
            self.journal.ended(task)
            return False
        self.logger.info(f"Taking over job {task.id} of an earlier run{' (it has ended well)' if ending else ''}.")
        self._watch(job, task)
        self.watched[task.path].since -= SETTLED
        return True

    # ----------------------------------------------------------------------------------------------------------- watching
    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report those that have ended, and yield the others."""
        if not self.ready:
            return
        await self._poll()
        folders = {Path(w.task.path).parent for w in list(self.watched.values())}
        marked: dict[str, tasks.Ending] = {}
        try:
            for folder in folders:
                marked |= await asyncio.to_thread(tasks.endings, folder)
        except OSError as error:  # a folder that cannot be read now is no sign that a job left no marker
            self.logger.warning(f"The markers of jobs cannot be read now ({error}).")
            for info in active_jobs:
                yield info
            return
        for info in active_jobs:
            watched = self.watched[info.aux["path"]]
            ending = marked.get(watched.task.path)
            if ending and ending.code == 0:
                self._done(watched)
                self.report_job_success(info)
            elif why := reason.of_marker(ending) if ending else self._lost(watched):
                self._done(watched, failed=True)
                self._report(info, watched, why)
            else:
                yield info

    def _report(self, info: SubmittedJobInfo, watched: Watched, why: str) -> None:
        log, kept = Path(f"{watched.task.path}.log"), LOGS.absolute() / f"{watched.task.id}.log"
        with suppress(OSError):
            kept.parent.mkdir(exist_ok=True)
            log.replace(kept)
        logs = {"aux_logs": [str(kept)]} if kept.exists() else {}
        self.report_job_error(info, msg=f"job {watched.task.id} of the scheduler: {why}. ", **logs)

    def _done(self, watched: Watched, failed: bool = False) -> None:
        self.watched.pop(watched.task.path)
        self.journal.ended(watched.task)
        tasks.remove(watched.task.path, keep=(".log", ".sh") if failed else ())

    def _lost(self, watched: Watched) -> str | None:
        """Why a job without a marker is over; a marker may be on its way to this host for `latency-wait` seconds."""
        if watched.ended is None or time.monotonic() - watched.ended < self.workflow.execution_settings.latency_wait:
            return None
        runs = tasks.claimed_by(watched.task.path)
        if runs and watched.task.id and runs != watched.task.id:  # an answer was lost, and it was submitted twice: one runs
            watched.task, watched.ended, watched.unknown = replace(watched.task, id=runs), None, 0
            return None
        return watched.why

    async def _poll(self) -> None:
        """Ask the scheduler, which may take its time: the last question is waited for 1 s and taken up at the next poll."""
        if self.polling is None:
            self.looking, self.asked = self._to_look_at(), time.monotonic()
            self.polling = self.child.ask("poll", look=self.looking)
        await asyncio.to_thread(wait, [self.polling], 1)
        if not self.polling.done():
            if time.monotonic() - self.asked > SILENCE:
                self._is_down(TimeoutError(f"no answer for {SILENCE:.0f} s"), self.asked)
            return self._patience()
        answered, self.polling = self.polling, None
        try:
            self._take_up(answered.result())
        except (Away, Refused, Unloadable) as error:
            self._is_down(error)
            return self._patience()
        if self.down is not None and time.monotonic() - self.failed > STEADY:
            self.logger.info(f"The scheduler answers again, after {time.monotonic() - self.down:.0f} s.")
            self.down = None
        for _ in range(0 if self.stopping else len(self.waiting)):  # the thread that reads the child may append meanwhile
            self._submit(self.waiting.pop(0))

    def _to_look_at(self) -> list[str]:
        now = time.monotonic()
        old = [w.task.id for w in list(self.watched.values()) if w.task.id and w.ended is None and now - w.since >= SETTLED]
        start = self.looked % len(old) if old else 0
        self.looked = start + LOOKED_AT
        return (old[start:] + old[:start])[:LOOKED_AT]

    def _take_up(self, answer: dict[str, Any]) -> None:
        by_id = {w.task.id: w for w in list(self.watched.values())}
        for end in answer["ended"]:
            if (watched := by_id.get(end["id"])) and watched.ended is None:
                told = reason.of_end(end, watched.task.native, tasks.begun(watched.task.path))
                watched.ended, watched.why = time.monotonic(), told
        gone = set(answer["gone"])
        for id in self.looking:
            if watched := by_id.get(id):
                watched.unknown = watched.unknown + 1 if id in gone else 0
                if watched.unknown >= 2 and watched.ended is None:
                    watched.ended, watched.why = time.monotonic(), reason.of_gone(tasks.begun(watched.task.path))

    def _is_down(self, error: BaseException, since: float | None = None) -> None:
        self.failed = time.monotonic()
        if self.down is None:
            self.down = since or self.failed
            self.logger.warning(f"The scheduler does not answer ({error}); it is asked again until it does.")

    def _patience(self) -> None:
        if self.down is not None and time.monotonic() - self.down > self.settings.outage:
            raise WorkflowError(
                f"the scheduler has not answered for {self.settings.outage} s; its jobs go on, and the next run takes them over"
            )

    # ------------------------------------------------------------------------------------------------------------- ending
    def cancel_jobs(self, active_jobs: Iterable[SubmittedJobInfo]) -> None:
        """End every job that was submitted, those included whose submission is being answered."""
        self.stopping = True
        self._all_answered()
        self._withdraw()
        mine = {w.task.id: w.task for w in list(self.watched.values()) if w.task.id}
        try:
            left = self.child.ask("terminate", jobs=list(mine)).result(PATIENCE)
        except (Away, Refused, Unloadable, TimeoutError) as error:
            self.logger.error(f"{len(mine)} jobs could not be ended ({error}); the next run takes them over.")
            return
        for id in mine.keys() - set(left):
            self.journal.ended(mine[id])
            tasks.remove(mine[id].path)
        self.logger.info(f"Ended {len(mine) - len(left)} jobs" + (f"; not ended: {', '.join(left)}" if left else "."))

    def _all_answered(self) -> None:
        """Wait until each answer to a submission was taken up: a future is done a moment before its jobs are watched."""
        until = time.monotonic() + PATIENCE
        while self.submitting and time.monotonic() < until:
            time.sleep(0.02)

    def _withdraw(self) -> None:
        """Those whose submission got no answer may be queued all the same: they shall not run."""
        for job, task in [each for batch in self.waiting for each in batch]:
            if tasks.claim(task.path):
                self.journal.ended(task)
                tasks.remove(task.path, keep=(".sh",))
            elif id := tasks.claimed_by(task.path):
                self._watch(job, replace(task, id=id))
        self.waiting.clear()

    def shutdown(self) -> None:
        super().shutdown()
        self.child.close()
        self.journal.close()


def digest_of(job: Any) -> str:
    """Digest of what a job does, so that one of an earlier run is only taken over when it is the same."""
    commands = [str(getattr(each, "shellcmd", "")) for each in getattr(job, "jobs", [job])]  # a group has several
    words = [job.name, *map(str, job.input), *map(str, job.output), *sorted(commands)]
    return sha256("\0".join(words).encode()).hexdigest()


def fresh(task: Task, job: Any) -> bool:
    """Whether a task that has ended began after its inputs were made, and its outputs are there."""
    try:
        began = Path(f"{task.path}.claim").stat().st_mtime
        return all(Path(f).exists() for f in task.outputs) and all(Path(str(f)).stat().st_mtime <= began for f in job.input)
    except OSError:
        return False
