#!/usr/bin/env python3
"""Submit a job of Snakemake to PBS: prints the job's id, and nothing else. Python's own library is enough.

Snakemake gives the path of a script whose second line tells what the job needs. PBS is given another one around it, which starts
in the right folder with the right environment, and leaves the exit code in `.snakemake/qsub/<id>.exit`: the one witness of
success that does not depend on the server's memory.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = Path(".snakemake/qsub")
KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "LANG", "LC_ALL")  # and all of RADSENS_*; PBS starts with a bare login
TARGET = {"RADSENS_TARGET": "x86-64-v3"}  # kernels are compiled once for all nodes, unless the user's own says otherwise


def properties(script: str) -> dict:
    """What Snakemake says of the job, in its script."""
    return json.loads(script.split("# properties = ", 1)[1].splitlines()[0])


def walltime(minutes: int) -> str:
    """Minutes as HH:MM:00."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def name(job: dict) -> str:
    """What tells the job from others: its rule, source and span, or its number."""
    words = [job["rule"], *(job["wildcards"][w] for w in ("source", "span") if w in job["wildcards"])]
    return re.sub(r"[^\w-]", "_", "-".join(words) if len(words) > 1 else f"{job['rule']}-{job['jobid']}")


def options(job: dict, folder: Path) -> list[str]:
    """Options of qsub: `-r n`, since a job that comes back by itself is run twice."""
    asked = job["resources"]
    select = f"select=1:ncpus={job['threads']}:mem={asked['mem_mb']}mb{asked.get('select', '')}"
    words = ["-r", "n", "-N", job["rule"][:15], "-j", "oe", "-o", str(folder / f"{name(job)}.log")]
    words += ["-l", select, "-l", f"walltime={walltime(asked['runtime'])}"]
    for option, resource in (("-q", "queue"), ("-A", "account")):
        if asked.get(resource):
            words += [option, str(asked[resource])]
    return words


def wrapper(script: Path, folder: Path, environment: dict) -> str:
    """What PBS runs. The exit code comes under its name by a rename, so that half a file is never read."""
    kept = {k: v for k, v in environment.items() if k in KEPT or k.startswith("RADSENS_")}
    exports = [f"export {k}={shlex.quote(v)}" for k, v in sorted({**TARGET, **kept}.items())]
    marker = shlex.quote(str(folder)) + '/"$PBS_JOBID"'
    lines = [
        "#!/bin/sh",
        *exports,
        f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
        f"sh {shlex.quote(str(script))}",
        "code=$?",
        f'echo "$code" > {marker}.half && mv {marker}.half {marker}.exit',
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def main(path: str) -> int:
    """Submit the script at `path`; qsub's own words and exit code where it refuses."""
    script, folder = Path(path).absolute(), FOLDER.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    call = ["qsub", *options(properties(script.read_text(encoding="utf-8")), folder)]
    text = wrapper(script, folder, dict(os.environ))
    try:
        done = subprocess.run(call, input=text, capture_output=True, text=True, check=False)
    except OSError as error:
        print(f"qsub cannot be run: {error}; is this a login node of PBS?", file=sys.stderr)
        return 1
    if done.returncode or not done.stdout.strip():
        said = " ".join(done.stderr.split()) or "nothing"
        print(
            f"qsub refused the job (exit code {done.returncode}) and said: {said}; it was called as {shlex.join(call)}",
            file=sys.stderr,
        )
        return done.returncode or 1
    print(done.stdout.split()[-1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
