"""The files of submitted jobs: what a task runs, how it claims its turn, the marker that tells how it ended.

A task `<folder>/<batch>.<index>` has the files `.sh` (Snakemake's job script), `.claim` (a folder: whoever makes it runs the
task), `.exit` (the marker: exit code and host, renamed into place) and `.log`. The folder must be on a file system that the
nodes share; so must the working directory of Snakemake, where it is made.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RUNNER = "task.sh"
PARTS = (".sh", ".exit", ".log", ".sh.waitforfilesfile.txt")
PRELUDE_FAILED = 97

TEMPLATE = """#!/bin/sh
# Runs one task: sh {runner} <batch> <index, or - for that of the array>
index=$2
if [ "$index" = - ]; then
    for index in "$SGE_TASK_ID" "$SLURM_ARRAY_TASK_ID" "$PBS_ARRAY_INDEX"; do
        case $index in [0-9]*) break ;; esac
    done
fi
task={folder}/$1.$index
tell() {{ echo "$1 $(hostname)" > "$task.exit.part" && mv "$task.exit.part" "$task.exit"; }}
# Two masters may have submitted it, or the scheduler may have restarted it: it runs once.
mkdir "$task.claim" || {{ echo "this task was claimed before: nothing is run"; exit 0; }}
echo "${{JOB_ID:-${{SLURM_ARRAY_JOB_ID:-${{SLURM_JOB_ID:-$PBS_JOBID}}}}}} $2 $index" > "$task.claim/by"
{environment}
cd {workdir} || {{ tell 1; exit 1; }}
{prelude}/bin/sh "$task.sh"
code=$?
tell $code
exit $code
"""


@dataclass(frozen=True)
class Ending:
    """How the job script of a task ended, as its marker tells."""

    code: int
    host: str


def write_runner(folder: Path, workdir: str, environment: Mapping[str, str], prelude: str | None) -> Path:
    """Write the script that every task of a folder is run by; its path."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
    first = f"{{ {prelude}\n}} || {{ tell {PRELUDE_FAILED}; exit {PRELUDE_FAILED}; }}\n" if prelude else ""
    runner = folder / RUNNER
    quoted = {"runner": RUNNER, "folder": shlex.quote(str(folder)), "workdir": shlex.quote(workdir)}
    runner.write_text(TEMPLATE.format(environment=exports, prelude=first, **quoted), encoding="utf-8")
    return runner


def endings(folder: Path) -> dict[str, Ending]:
    """Markers of all tasks of a folder, by the path of the task: one scan of the directory.

    One that vanished or cannot be read now (a stale handle of NFS) is left to the next scan, and hides no other.
    """
    found = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".exit"):
                with suppress(OSError, ValueError):
                    code, _, host = Path(entry.path).read_text(encoding="utf-8").strip().partition(" ")
                    found[entry.path.removesuffix(".exit")] = Ending(int(code), host)
    return found


def claim(task: str) -> bool:
    """Take a task's turn, so that it will not run; False where it has begun."""
    try:
        Path(f"{task}.claim").mkdir()
    except FileExistsError:
        return False
    return True


def begun(task: str) -> bool:
    """Whether a task has had its turn."""
    return Path(f"{task}.claim").exists()


def claimed_by(task: str) -> str | None:
    """Scheduler's id of the task that has begun, as `wait` and `jobStatus` know it; None where it did not tell."""
    try:
        job, asked, index = Path(f"{task}.claim/by").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    if asked != "-":
        return job
    return f"{job}.{index}" if os.environ.get("SGE_ROOT") else f"{job}_{index}"


def remove(task: str, keep: Iterable[str] = ()) -> None:
    """Remove the files of a task; one whose script is kept stays claimed, or a twin still queued would run it again."""
    for part in PARTS:
        if part not in keep:
            with suppress(OSError):
                os.unlink(task + part)
    if ".sh" in keep:
        return
    with suppress(OSError):
        os.unlink(f"{task}.claim/by")
    with suppress(OSError):
        os.rmdir(f"{task}.claim")
