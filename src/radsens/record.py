"""What became of a job: a small JSON file beside its log, written at its start and at its end.

A job that is killed leaves "running"; whether it lives is told by its process on its own host, elsewhere by the time of
the record, which a living job renews. Nothing here ever makes a job fail.
"""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import radsens

BEAT = 60  # a living job renews the time of its record this often [s]
SILENCE = 180  # without a sign of life after which a job of another host is lost [s]: three beats, or the caches of NFS
KEPT = 10  # earlier attempts that a record remembers
ENDING = ("state", "started", "seconds", "host", "job_id", "exit_code", "reason")


def path_of(log: str | Path) -> Path:
    """The record beside a log."""
    return Path(log).with_suffix(".json")


def read(path: str | Path) -> dict[str, Any]:
    """Content of a record; nothing where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as f:
            found = json.load(f)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a record, whole or not at all.

    Raises
    ------
    OSError : it cannot be written
    """
    part = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def now() -> str:
    """Now, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def scheduler_job(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Scheduler that runs a job, and its id there; None on a machine without any."""
    if job := environment.get("SLURM_JOB_ID"):
        array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
        return "Slurm", f"{array}_{task}" if array and task else job
    if job := environment.get("PBS_JOBID"):
        return "PBS", job
    if (job := environment.get("JOB_ID")) and (task := environment.get("SGE_TASK_ID")):
        return "Grid Engine", job if task == "undefined" else f"{job}.{task}"
    return None, None


def process_began(pid: int) -> int | None:
    """When a process of this host began, in ticks since it was started; None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie has ended


def process(pid: int) -> dict[str, Any]:
    """What tells a process from every other one."""
    return {"host": platform.node(), "pid": pid, "process_began": process_began(pid)}


def alive(content: Mapping[str, Any]) -> bool | None:
    """Whether the process of a record lives; None if it is on another host."""
    if content.get("host") != platform.node():
        return None
    pid = content.get("pid")
    began = process_began(pid) if isinstance(pid, int) else None
    return began is not None and began == content.get("process_began")


def _ending(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is remembered of an attempt; one that never told its end was lost."""
    kept = {k: content[k] for k in ENDING if k in content}
    return {**kept, "state": "lost"} if kept.get("state") == "running" else kept


def begin(log: str | Path) -> None:
    """Write that a job runs."""
    path = path_of(log)
    with suppress(OSError):
        before = read(path)
        earlier, attempt = before.get("earlier"), before.get("attempt")
        scheduler, job = scheduler_job(os.environ)
        content = {
            "state": "running",
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            **process(os.getpid()),
            "scheduler": scheduler,
            "job_id": job,
            "started": now(),
            "attempt": attempt + 1 if isinstance(attempt, int) else 1,
            "versions": {"radsens": radsens.__version__, "python": platform.python_version()}
            | {name: version(name) for name in ("numpy", "numba", "netCDF4")},
            "earlier": [*(earlier if isinstance(earlier, list) else []), *([_ending(before)] if before else [])][-KEPT:],
        }
        write(path, content)
        Thread(target=_beat, args=(path,), daemon=True).start()


def _beat(path: Path) -> None:
    while (held := read(path)).get("state") == "running" and held.get("pid") == os.getpid():
        with suppress(OSError):
            os.utime(path)
        time.sleep(BEAT)


def note(log: str | Path, **found: Any) -> None:
    """Add what a job found to its record."""
    with suppress(OSError):
        if content := read(path_of(log)):
            write(path_of(log), {**content, **found})


def end(log: str | Path, code: int, reason: str) -> None:
    """Write how a job ended."""
    content = read(path_of(log))
    if content.get("pid") != os.getpid():
        return  # it could not be written, or another attempt has begun
    ended = now()
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(content["started"])).total_seconds()
    state = "failed" if code else "done"
    note(log, state=state, ended=ended, seconds=round(seconds, 3), exit_code=code, reason=reason if code else "")
