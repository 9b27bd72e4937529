#!/usr/bin/env python3
"""State of a job of PBS, in one word for Snakemake: running, success or failed. Python's own library is enough.

The exit code that the job left (see submit.py) comes first. Without one the server is asked; a server that does not answer
knows nothing of the job, so that the job counts as running. One that has forgotten it (history off, or an unknown id) is believed
after a while, for a file may be slow to come from another node.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(".snakemake/qsub")
GRACE = 60  # seconds from the first look that misses a job to its failure
PATIENCE = 30  # seconds for one answer of the server
UNKNOWN_ID = 153  # exit code of qstat for an id that the server does not know
FINISHED = ("F", "X")  # states of OpenPBS and PBS Pro that are an end; E is still writing
REASONS = {-29: "killed at its wall time before it ran", 271: "killed by signal 15: wall time, memory or qdel"}


def from_marker(path: Path) -> str | None:
    """What the job itself left, if it did."""
    try:
        return "success" if path.read_text(encoding="utf-8").strip() == "0" else "failed"
    except OSError:
        return None


def from_server(job: str, code: int, text: str) -> tuple[str, str]:
    """Word and reason from the exit code of `qstat -x -f -F json` and what it said; `gone` for a job that is not known."""
    if code == UNKNOWN_ID:
        return "gone", "the server does not know it"
    if code:
        return "running", ""
    try:
        answer = json.loads(text, strict=False)
    except ValueError:
        return "running", ""
    if not isinstance(answer, dict) or not isinstance(answer.get("Jobs", {}), dict):
        return "running", ""
    found = next((v for k, v in answer.get("Jobs", {}).items() if k.split(".")[0] == job.split(".")[0]), None)
    if found is None:
        return "gone", "the server has forgotten it and it left no exit code"
    if found.get("job_state") not in FINISHED:
        return "running", ""
    exit_code = found.get("Exit_status")
    if exit_code == 0:
        return "success", ""
    return "failed", REASONS.get(exit_code, "deleted before it ran" if exit_code is None else f"exit code {exit_code}")


def ask(job: str) -> tuple[int, str]:
    """Exit code and words of qstat; 1 where it cannot be asked."""
    try:
        done = subprocess.run(
            ["qstat", "-x", "-f", "-F", "json", job],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout


def waited(path: Path) -> bool:
    """Whether the job has been missed for as long as its marker may take; the first look is remembered in an empty file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return time.time() - path.stat().st_mtime >= GRACE


def main(job: str) -> None:
    """Print the word; why a job failed goes to the screen."""
    missed = FOLDER / f"{job}.missed"
    word, reason = from_marker(FOLDER / f"{job}.exit"), ""
    if word is None:
        word, reason = from_server(job, *ask(job))
    if word == "gone":
        word = "failed" if waited(missed) else "running"
    else:
        missed.unlink(missing_ok=True)
    if word == "failed" and reason:
        print(f"PBS job {job}: {reason}", file=sys.stderr)
    print(word)


if __name__ == "__main__":
    main(sys.argv[1])
