"""Before a campaign: does this library load, does the scheduler take a job, and is its end told truly?

    python -m snakemake_executor_plugin_drmaa_array.check '{"queue": "all.q"}'

One line of JSON per step: {"step", "found"} and, where something is wrong, "fix". Exit code 0 when all is well. The argument
holds settings of the executor; the job is `true`, of one thread, with the memory and the minutes given as mem_mb and runtime.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import native, tasks
from .child import Away, Child, Refused, Unloadable

PATIENCE = 300.0  # for the job to end: a queue may be full [s]
WAIT_MAY_TAKE = 10.0  # after the scheduler dropped the job: what `wait` tells may come later [s]
MARKER_MAY_TAKE = 60.0  # a shared file system's latency [s]
TROUBLES = (Away, Refused, Unloadable, TimeoutError)

Step = dict[str, Any]


def step(name: str, found: Any, fix: str = "") -> Step:
    """One finding."""
    return {"step": name, "found": found, **({"fix": fix} if fix else {})}


def load(child: Child, settings: dict[str, Any]) -> Iterator[Step]:
    """Load the library and name the scheduler."""
    path = settings.get("library") or os.environ.get("DRMAA_LIBRARY_PATH")
    try:
        about = child.ask("hello").result(60)
    except TROUBLES as error:
        words = "set DRMAA_LIBRARY_PATH, or drmaa-array-library in the profile, to the libdrmaa.so of your scheduler"
        away = "ask the scheduler's administrators: its library loads, but the scheduler does not answer this host"
        yield step("library", f"{path or 'not given'}: {error}", words if isinstance(error, Unloadable) else away)
        return
    settings.setdefault("system", native.system_of(" ".join(about.values())))
    yield step("library", path or "found by the system's loader")
    yield step("scheduler", f"{about['system']}, spoken to as {settings['system']}")


def history(settings: dict[str, Any]) -> Iterator[Step]:
    """Whether PBS keeps ended jobs, without which only the marker tells how one ended."""
    if settings["system"] == "pbs" and shutil.which("qstat"):
        said = subprocess.run(["qstat", "-B", "-f"], capture_output=True, text=True, timeout=60).stdout
        on = "job_history_enable = True" in said
        advice = "nothing is lost, but a killed job has no cause: ask for `qmgr -c 'set server job_history_enable=True'`"
        yield step("job history", "on" if on else "off", "" if on else advice)


def job(child: Child, settings: dict[str, Any], folder: Path) -> Iterator[Step]:
    """Submit one trivial job and follow it to its end."""
    asked = native.demand(settings, 1, settings.get("queue"), settings.get("account"), settings.get("extra"))
    site = native.Site(**{k: settings[n] for k, n in (("memory", "mem_resource"), ("node", "node")) if settings.get(n)})
    specification, task = native.specification(settings["system"], asked, site), str(folder / "1.1")
    runner = tasks.write_runner(folder, str(folder), {"PATH": os.environ["PATH"]}, settings.get("prelude"))
    Path(f"{task}.sh").write_text("echo this is the log of $(hostname)\n", encoding="utf-8")
    start = time.monotonic()
    log = f"{task}.log"
    try:
        submitted = child.ask("submit", script=[str(runner), "1", "1"], name="check", log=log, native=specification, count=1)
        (id,) = submitted.result(60)
    except TROUBLES as error:
        yield step("submission", f"refused: {error}; options given: {specification}", "mend the site block of the profile")
        return
    yield step("submission", f"job {id}, options given: {specification}")
    states, end = follow(child, id, task)
    yield step(
        "status", " → ".join(states), "" if end else f"the job did not end within {PATIENCE:.0f} s: is the queue open to you?"
    )
    if not end:
        child.ask("terminate", jobs=[id])
        return
    yield step("wait", end["told"])
    marker = end["marker"]
    shared = f"{folder} must be on a file system that the nodes share: start Snakemake from such a folder"
    prelude = "mend drmaa-array-prelude: it ended with another code than 0"
    wrong = shared if marker is None else prelude if marker.code == tasks.PRELUDE_FAILED else "read the log"
    yield step(
        "exit marker", f"{marker.code} from {marker.host}" if marker else "none", "" if marker and not marker.code else wrong
    )
    told = Path(log).read_text(encoding="utf-8", errors="replace").strip() if Path(log).exists() else ""
    yield step("log", told or "empty", "" if told else shared)
    yield step("time", f"{time.monotonic() - start:.1f} s from submission to end")


def follow(child: Child, id: str, task: str) -> tuple[list[str], dict[str, Any]]:
    """States of a job until its end, and its end: the marker, and what `wait` told."""
    states: list[str] = []
    ends: list[Any] = []
    until, gone = time.monotonic() + PATIENCE, 0.0
    while not ends and time.monotonic() < (gone + WAIT_MAY_TAKE if gone else until):
        ends = [end for end in child.ask("poll", look=[]).result(120)["ended"] if end["id"] == id]
        state = "ended" if ends else child.ask("state", job=id).result(120)
        gone = gone or (time.monotonic() if state == "gone" else 0.0)
        if state != "gone" and states[-1:] != [state]:
            states.append(state)
        time.sleep(0.2)
    if not ends and not gone:
        return states, {}
    seen = time.monotonic()
    while time.monotonic() < seen + MARKER_MAY_TAKE and task not in tasks.endings(Path(task).parent):
        time.sleep(0.2)
    told = f"exit status {ends[0]['status']}, signal {ends[0]['signal']}" if ends else "nothing: it keeps no ended job"
    return states or ["ended"], {"told": told, "marker": tasks.endings(Path(task).parent).get(task)}


def check(settings: dict[str, Any]) -> Iterator[Step]:
    """All steps, up to the first that leaves no next one."""
    child = Child(settings.get("library"))
    folder = Path(tempfile.mkdtemp(prefix="drmaa-check.", dir="."), ".").absolute()
    try:
        yield from load(child, settings)
        if "system" in settings:
            yield from history(settings)
            yield from job(child, settings, folder)
    except TROUBLES as error:
        yield step("scheduler", f"it stopped answering: {error}", "try again; if it stays so, ask its administrators")
    finally:
        child.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Print the steps; exit code 1 where something is to be mended."""
    settings = json.loads(sys.argv[1]) if sys.argv[1:] else {}
    wrong = False
    for found in check(settings):
        wrong = wrong or "fix" in found
        print(json.dumps(found, ensure_ascii=False), flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
