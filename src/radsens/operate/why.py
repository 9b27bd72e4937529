"""Why a chunk or a realisation is as it is: state, reason, draws, where it was made, and the line that makes it here."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from radsens import io, record, work
from radsens.campaign import Campaign
from radsens.chunk import span_name, span_of, spans
from radsens.models.irm import DRAWN
from radsens.operate import standing
from radsens.operate.standing import DONE, Job
from radsens.schema import Fault

TAIL = 15  # lines of a log that are shown
NAMED = re.compile(r"([A-Za-z0-9_-]+)/(\d+)")
SPANNED = re.compile(r"([A-Za-z0-9_-]+)/(\d{6,}-\d{6,})")
PATH = re.compile(r"(?:.*/)?chunks/([^/]+)/([0-9a-f]{12})/(\d{6,}-\d{6,})\.nc")


def parsed(campaign: Campaign, what: str) -> tuple[str, str, int | None]:
    """Source, span and realisation that are meant."""
    if match := PATH.fullmatch(what):
        source, span, realisation = match[1], match[3], None
        if source in campaign.names and match[2] != campaign.keys[source]:
            raise Fault(f"{what}: is of other settings than the campaign's as they are now, whose key is {campaign.keys[source]}")
    elif match := SPANNED.fullmatch(what):
        source, span, realisation = match[1], match[2], None
    elif match := NAMED.fullmatch(what):
        source, realisation = match[1], int(match[2])
        span = ""
    else:
        raise Fault(
            f"CHUNK: give SOURCE/REALISATION, SOURCE/FIRST-LAST or the path of a chunk, "
            f"such as {campaign.names[-1]}/7; got {what!r}"
        )
    if source not in campaign.names:
        raise Fault(f"CHUNK: {source!r} is not in the campaign; it has {', '.join(campaign.names)}")
    count = campaign.realisations(source)
    if realisation is not None:
        if realisation >= count:
            raise Fault(f"CHUNK: {source} has no realisation {realisation}; the last one is {count - 1}")
        span = next(span_name(s) for s in spans(count, campaign.config.span) if realisation in s)
    if span not in campaign.spans(source):
        raise Fault(f"CHUNK: {source} has no span {span}; its first is {campaign.spans(source)[0]}")
    return source, span, realisation


def fate(file: io.File, index: int) -> str:
    """What became of a realisation, by its place in the chunk."""
    codes, names = file["outcome"][index], file["outcome_name"]
    bad = [f"{names[c]} in band {band}" for c, band in zip(codes, file["band"], strict=True) if c]
    return f"a numerical failure, which is a result: {', '.join(bad)}" if bad else "computed"


def draws(file: io.File, index: int) -> Iterator[str]:
    """Parameters of the model with the error of one realisation, band by band."""
    for name in DRAWN:
        unit = file.variables[name].attributes["units"]
        for band, value in zip(file["band"], file[name][index], strict=True):
            if not np.isnan(value).all():
                yield f"  {name} {band}: {', '.join(f'{v:.9g}' for v in np.atleast_1d(value))} [{unit}]"


def of_chunk(path: Path, span: str, realisation: int | None) -> Iterator[str]:
    """What a chunk says."""
    file = io.read(path)
    about = file.attributes
    first = span_of(span).start
    failed = [i for i in range(len(file["outcome"])) if file["outcome"][i].any()]
    if realisation is None:
        yield f"realisations: {len(file['outcome'])}, of which {len(failed)} are numerical failures, which are results"
        yield from (f"  {first + i}: {fate(file, i)}" for i in failed[:TAIL])
    else:
        yield f"realisation {realisation}: {fate(file, realisation - first)}"
        yield from ("drawn parameters:", *draws(file, realisation - first))
    yield f"digests: key {about['key']}, results_sha256 {about[io.DIGEST]}"
    kept = {k.removesuffix("_version"): v for k, v in about.items() if k.endswith("_version")}
    yield f"made: {about['date_created']} on {about['host']} by {about['source']}, {_pairs(kept)}"


def _pairs(content: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in content.items())


def of_record(job: Job) -> Iterator[str]:
    """What the record of a job says."""
    held = job.record
    if not held:
        yield "record: none; no job of it began here, or it was made by hand"
        return
    where = f"host {held.get('host')}, process {held.get('pid')}"
    where += f", {held['scheduler']} job {held['job_id']}" if held.get("job_id") else ""
    yield f"job: attempt {held.get('attempt')}, started {held.get('started')}, {where}"
    if "ended" in held:
        yield f"ended: {held['ended']} after {held.get('seconds')} s with exit code {held.get('exit_code')}"
    yield f"versions: {_pairs(held.get('versions', {}))}"
    for one in held.get("earlier", []):
        yield f"earlier: {json.dumps(one)}"
    yield f"command: {held.get('command')}"


def tails(job: Job) -> Iterator[str]:
    """The ends of the job's log and of what the scheduler kept of it."""
    paths = [job.log]
    if identity := job.record.get("job_id"):
        named = f"*{re.sub(r'[^0-9A-Za-z._-]', '?', str(identity))}*"
        paths += sorted([*job.log.parent.glob(named), *Path(".snakemake").glob(f"*logs*/**/{named}")])
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        yield f"log {path}:" if lines else f"log {path}: empty"
        yield from (f"  {line}" for line in lines[-TAIL:])


def reproduced(campaign: Campaign, config: Path, job: Job) -> str:
    """The line that makes the chunk here."""
    words = ["radsens", "realise", job.source, job.span, "--task", str(config), "--output", f"{job.source}-{job.span}.nc"]
    line = shlex.join(words)
    if Path(campaign.scene).is_file():
        return line
    return f"{shlex.join(['radsens', 'scene', str(config), '--output', campaign.scene])} && {line}"


def explained(campaign: Campaign, config: Path, what: str) -> Iterator[str]:
    """All that is known of a chunk or a realisation, line by line."""
    source, span, realisation = parsed(campaign, what)
    log = campaign.root / "logs" / source / campaign.keys[source] / f"{span}.log"
    output = f"{campaign.chunk_folder(source)}/{span}.nc"
    beside = (Path(output), record.path_of(log), work.beside(Path(output)))
    found = {str(p): standing.Entry(0, p.stat().st_mtime) for p in beside if p.is_file()}
    job = standing.judge("realise", source, span, output, str(log), found)
    technical = f": technical failure: {job.reason}" if job.reason else ""
    yield f"{source}/{span}: {job.state}{technical}"
    yield f"chunk: {output}"
    if job.state == DONE:
        yield from of_chunk(Path(output), span, realisation)
    else:
        yield f"digests: key {campaign.keys[source]}"
    yield from of_record(job)
    yield from tails(job)
    yield "to make it here:"
    yield f"  {reproduced(campaign, config, job)}"
