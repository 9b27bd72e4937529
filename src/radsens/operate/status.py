"""How a campaign stands: of each source what is done, runs, failed or is missing, when it ends and how precise it is."""

import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from radsens import stopping
from radsens.campaign import Campaign
from radsens.config import CONTROL
from radsens.gaps.strata import ALL
from radsens.operate import master, standing
from radsens.operate.outcomes import glance, precision
from radsens.operate.standing import DONE, FAILED, MISSING, RUNNING, Job

PERIOD = 5  # of a watched status [s]
HEADS = ("source", "planned", "done", "running", "failed", "missing", "s per chunk", "left", "failed realisations", "precision")
SHOWN = 5  # failed jobs whose reasons are printed


@dataclass(frozen=True)
class Row:
    """How one source stands: jobs by state, mean time of a chunk [s], time left [s], failed realisations, precision [1]."""

    source: str
    planned: int
    done: int
    running: int
    failed: int
    missing: int
    mean_seconds: float | None
    seconds_left: float | None
    numerical: dict[str, int]
    precision: float | None


@dataclass(frozen=True)
class Status:
    """How a campaign stands, all of it from files."""

    campaign: str
    id: str
    complete: bool
    changed: bool
    bytes: int
    master: dict[str, Any] | None
    seconds_left: float | None
    sources: tuple[Row, ...]
    failures: tuple[dict[str, str], ...]
    stages: tuple[str, ...] = ()  # what is decided of each source that stops at a precision


def precisions(campaign: Campaign) -> dict[str, float]:
    """Largest mc_error/total of the whole image of each source, from tables that are those of the settings."""
    if not Path(campaign.mark).exists():
        return {}
    found: dict[str, float] = {}
    try:
        with open(campaign.table, newline="", encoding="utf-8") as f:
            for row in csv.DictReader(f):
                if row["stratum"] == ALL and row["mc_error"] and float(row["total"] or 0) > 0:
                    share = float(row["mc_error"]) / float(row["total"])
                    found[row["source"]] = max(found.get(row["source"], 0.0), share)
    except (OSError, KeyError, ValueError):
        return {}
    return found


def numerical_of(jobs: Sequence[Job], gathered: Path | None) -> dict[str, int]:
    """Failed realisations by reason: of the gathered rows if they stand, else of each chunk as its job told."""
    if gathered and (held := glance(gathered)):
        return held["numerical"]
    found: Counter[str] = Counter()
    for job in jobs:
        if job.state == DONE:
            told = job.record if "numerical" in job.record else glance(job.output) or {}
            found.update(told.get("numerical", {}))
    return dict(found)


def row_of(campaign: Campaign, source: str, jobs: Sequence[Job], gathered: bool, tabled: dict[str, float]) -> Row:
    """How a source stands from its jobs."""
    states = Counter(job.state for job in jobs)
    seconds = [job.record["seconds"] for job in jobs if job.state == DONE and "seconds" in job.record]
    mean = sum(seconds) / len(seconds) if seconds else None
    left = None
    if mean is not None and states[RUNNING]:
        left = (len(jobs) - states[DONE]) * mean / states[RUNNING]
    path = Path(campaign.gaps(source)) if gathered else None
    reached = tabled.get(source)
    if reached is None and path and not tabled and source != CONTROL:
        reached = precision(path)
    return Row(
        source=source,
        planned=len(jobs),
        done=states[DONE],
        running=states[RUNNING],
        failed=states[FAILED],
        missing=states[MISSING],
        mean_seconds=mean,
        seconds_left=left,
        numerical=numerical_of(jobs, path),
        precision=reached,
    )


def left_of(rows: Sequence[Row]) -> float | None:
    """Time that the whole campaign still takes at as many jobs as run now [s]; an unknown speed is taken as the others'."""
    running = sum(row.running for row in rows)
    known = [row.mean_seconds for row in rows if row.mean_seconds is not None]
    if not running or not known:
        return None
    usual = sum(known) / len(known)
    return sum((row.planned - row.done) * (usual if row.mean_seconds is None else row.mean_seconds) for row in rows) / running


def stage_of(campaign: Campaign, source: str) -> str:
    """How many realisations a source that stops at a precision takes, as far as that is decided."""
    if decision := campaign.decision(source):
        return stopping.sentence(decision)
    stages = campaign.staged[source]
    return f"{source}: {stages.first} realisations first, at most {stages.most} in all: not decided yet"


def status(campaign: Campaign) -> Status:
    """How a campaign stands."""
    found, tabled = standing.files(campaign.root), precisions(campaign)
    jobs = {name: standing.span_jobs(campaign, name, found) for name in campaign.names}
    others = standing.other_jobs(campaign, found)
    rows = tuple(row_of(campaign, n, jobs[n], campaign.gaps(n) in found, tabled) for n in campaign.names)
    failed = [job for job in (*(job for each in jobs.values() for job in each), *others) if job.state == FAILED]
    return Status(
        campaign=campaign.config.campaign,
        id=campaign.id,
        complete=all(path in found for path in campaign.files),
        changed=campaign.stale,
        bytes=sum(entry.size for entry in found.values()),
        master=master.running(campaign),
        seconds_left=left_of(rows),
        sources=rows,
        failures=tuple({"job": job.name, "reason": job.reason} for job in failed),
        stages=tuple(stage_of(campaign, name) for name in campaign.staged),
    )


def duration(seconds: float | None) -> str:
    """A time as a person says it."""
    if seconds is None:
        return "-"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{hours} h"


def size(count: float) -> str:
    """A number of bytes as a person says it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def cells(row: Row) -> tuple[str, ...]:
    """One row on the screen."""
    numerical = ", ".join(f"{n} {reason}" for reason, n in row.numerical.items()) or "0"
    mean = "-" if row.mean_seconds is None else f"{row.mean_seconds:.3g}"
    counts = map(str, (row.planned, row.done, row.running, row.failed, row.missing))
    return (
        row.source,
        *counts,
        mean,
        duration(row.seconds_left),
        numerical,
        "-" if row.precision is None else f"{row.precision:.1%}",
    )


def drawn(campaign: Campaign, found: Status) -> RenderableType:
    """The status on the screen."""
    from radsens.products.grid import grid

    lines = []
    if found.changed:
        lines.append("[bold red]STALE:[/] the settings, the code or the instrument changed after the table was made")
    for one in found.failures[:SHOWN]:
        lines.append(f"[bold]failed:[/] {escape(one['job'])}: {escape(one['reason'])}")
    if more := len(found.failures) - SHOWN:
        lines += [f"and {more} more failed jobs"] if more > 0 else []
    lines += map(escape, found.stages)
    held = found.master
    who = (
        f"run by process {held.get('pid')} on {held.get('host')} since {held.get('started')}"
        if held
        else "nobody runs it with radsens run"
    )
    left = f", about {duration(found.seconds_left)} left" if found.seconds_left is not None else ""
    whole = "complete" if found.complete else f"incomplete{left}"
    lines.append(f"campaign {found.id}: {whole}; {size(found.bytes)} in {campaign.root}/; {who}")
    table = grid(f"campaign {found.campaign}", HEADS, map(cells, found.sources))
    return Group(table, Text(""), *(Text.from_markup(line) for line in lines))


def as_json(found: Status) -> str:
    """The status for scripts."""
    return json.dumps(asdict(found), indent=1)


def show(campaign: Campaign) -> Status:
    """Print how a campaign stands."""
    from radsens.products.grid import console

    found = status(campaign)
    console().print(drawn(campaign, found))
    return found


def watch(campaign: Campaign) -> Status:
    """Print how a campaign stands, anew every few seconds, until it is complete or Ctrl-C."""
    from radsens.products.grid import console

    found = status(campaign)
    try:
        with Live(drawn(campaign, found), console=console(), auto_refresh=False) as live:
            while not found.complete:
                time.sleep(PERIOD)
                found = status(campaign)
                live.update(drawn(campaign, found), refresh=True)
    except KeyboardInterrupt:
        pass  # the way to leave it
    return found
