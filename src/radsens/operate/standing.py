"""How a campaign stands: what became of each of its jobs, told by the files under its folder and the records of its jobs.

The folder is walked once; the records of the settings as they are now are read, the chunks are not.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radsens import record, work
from radsens.campaign import Campaign

DEPTH = 8  # of folders: twice what a campaign has, so that a link to a folder above ends
DONE, RUNNING, FAILED, MISSING = "done", "running", "failed", "missing"
LOST = "lost: its process is gone without a word (killed, out of memory or time, or its node went)"


@dataclass(frozen=True)
class Entry:
    """Size on disk [byte] and time of a file."""

    size: int
    mtime: float


@dataclass(frozen=True)
class Job:
    """One job of the workflow: what it makes, what its record says, and its state."""

    rule: str
    source: str
    span: str
    output: Path
    log: Path
    state: str
    reason: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What `radsens why` calls it."""
        return f"{self.source}/{self.span}" if self.span else f"{self.rule} {self.source}".strip()


def walk(folder: Path, links: bool, depth: int = DEPTH) -> Iterator[os.DirEntry[str]]:
    """Files under a folder; links are followed if that is asked, else neither followed nor given."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=links):
            if depth:
                yield from walk(Path(entry.path), links, depth - 1)
        elif entry.is_file(follow_symlinks=links):
            yield entry


def files(folder: Path, links: bool = True) -> dict[str, Entry]:
    """All files under a folder, by path."""
    found = {}
    for entry in walk(folder, links):
        try:
            about = entry.stat(follow_symlinks=links)
        except FileNotFoundError:  # renamed or removed since
            continue
        found[entry.path] = Entry(about.st_blocks * 512, about.st_mtime)
    return found


def lives(content: dict[str, Any], signs: list[float]) -> bool:
    """Whether the job of a record that says "running" lives: by its process here, by the times of its files elsewhere."""
    here = record.alive(content)
    return here if here is not None else time.time() - max(signs, default=0.0) < record.SILENCE


def judge(rule: str, source: str, span: str, output: str, log: str, found: dict[str, Entry]) -> Job:
    """A job from the files that stand and from its record."""
    given: dict[str, Any] = {"rule": rule, "source": source, "span": span, "output": Path(output), "log": Path(log)}
    beside = record.path_of(log)
    content = record.read(beside) if str(beside) in found else {}
    given["record"] = content
    if output in found:
        return Job(**given, state=DONE)
    state = content.get("state")
    if state == "running":
        signs = [found[str(p)].mtime for p in (beside, work.beside(Path(output))) if str(p) in found]
        return Job(**given, state=RUNNING) if lives(content, signs) else Job(**given, state=FAILED, reason=LOST)
    if state == "failed":
        return Job(**given, state=FAILED, reason=str(content.get("reason", "")))
    return Job(**given, state=MISSING)


def span_jobs(campaign: Campaign, source: str, found: dict[str, Entry]) -> list[Job]:
    """The jobs of the spans of a source."""
    chunks, logs = campaign.chunk_folder(source), campaign.root / "logs" / source / campaign.keys[source]
    return [judge("realise", source, s, f"{chunks}/{s}.nc", f"{logs}/{s}.log", found) for s in campaign.spans(source)]


def other_jobs(campaign: Campaign, found: dict[str, Entry]) -> list[Job]:
    """The jobs that make the scene, the decisions, the gathered rows and the tables; that which compiles, while it is wanted."""
    logs = campaign.root / "logs"
    gathers = [
        judge("gather", n, "", campaign.gaps(n), str(logs / n / Path(campaign.gaps(n)).with_suffix(".log").name), found)
        for n in campaign.names
    ]
    decisions = [
        judge("enough", n, "", campaign.decision_path(n), str(logs / n / f"{campaign.decision_keys[n]}.log"), found)
        for n in campaign.staged
    ]
    scene = judge("scene", "", "", campaign.scene, f"{logs}/scene/{campaign.scene_key}.log", found)
    warm = judge("warm", "", "", campaign.warm, f"{logs}/warm/{Path(campaign.warm).stem}.log", found)
    wanted = [warm] if warm.state in (RUNNING, FAILED) else []  # missing, it is made before the next chunk, if there is one
    table = judge("table", "", "", campaign.mark, f"{logs}/table-{campaign.id}.log", found)
    return [scene, *wanted, *decisions, *gathers, table]
