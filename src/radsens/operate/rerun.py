"""Compute again: what failed, or chunks that stand, whose bits must come out the same.

A chunk that is computed again is first set aside as `<span>.nc.old`. It comes back if the new one is not made, goes if the
new one has the same bits, and stays beside it if it has not. A command that was killed leaves it: the next one settles it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from radsens import io
from radsens.campaign import Campaign
from radsens.chunk import span_of
from radsens.operate import master, snakemake, standing
from radsens.operate.standing import FAILED, RUNNING, Job
from radsens.schema import Fault

OLD = ".old"
Commands = Sequence[Sequence[str]]
INCOMPLETE = Path(".snakemake") / "incomplete"
SAME, DIFFERENT, BACK = "same", "different", "back"
PART = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


@dataclass(frozen=True)
class Settled:
    """What became of a chunk that had been set aside: the verdict, and the line that says it."""

    path: Path
    verdict: str
    line: str


def numbers(text: str, count: int) -> list[range]:
    """Ranges of realisations from a list such as 0,1,20-23, each below `count`."""
    found = []
    for part in text.split(","):
        match = PART.fullmatch(part.strip())
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise Fault(f"--realisations: must be numbers and ranges such as 0,1,20-23; got {text!r}")
        one = range(int(match[1]), int(match[2] or match[1]) + 1)
        if one.stop > count:
            raise Fault(f"--realisations: there is no realisation {one[-1]}; the last one is {count - 1}")
        found.append(one)
    return found


def chosen(campaign: Campaign, source: str | None, realisations: str | None) -> list[tuple[str, str]]:
    """The spans (source, span) of a source or of all, that hold some of the realisations or any."""
    if source is not None and source not in campaign.names:
        raise Fault(f"--source: {source!r} is not in the campaign; it has {', '.join(campaign.names)}")
    names = [source] if source else list(campaign.names)
    wanted = None if realisations is None else numbers(realisations, max(map(campaign.realisations, names)))
    return [
        (name, span)
        for name in names
        for span in campaign.spans(name)
        if wanted is None or any(_meet(span_of(span), one) for one in wanted)
    ]


def _meet(a: range, b: range) -> bool:
    return a.start < b.stop and b.start < a.stop


def aside(path: Path) -> Path:
    """Where a chunk waits while it is computed again."""
    return path.with_name(path.name + OLD)


def compare(path: Path) -> Settled:
    """What became of the bits of a chunk that was computed again; the one that was set aside goes if they are the same."""
    try:
        new, old = (io.read(each).attributes[io.DIGEST] for each in (path, aside(path)))
    except Fault as fault:
        line = f"computed again, but cannot be compared with {aside(path).name}, which stands beside it: {fault}"
        return Settled(path, DIFFERENT, line)
    if new != old:
        line = f"DIFFERENT: results_sha256 {new[:12]}, was {old[:12]}; the old one stands beside it as {aside(path).name}"
        return Settled(path, DIFFERENT, line)
    aside(path).unlink()
    return Settled(path, SAME, f"the same bits (results_sha256 {new[:12]})")


def settle_one(path: Path) -> Settled | None:
    """Bring back a chunk that was set aside, or compare it with the one that took its place."""
    if not aside(path).is_file():
        return None
    if path.is_file():
        return compare(path)
    aside(path).replace(path)
    return Settled(path, BACK, "not computed again; the old one was put back")


def settle(campaign: Campaign) -> list[Settled]:
    """Settle every chunk of the settings that an earlier command left set aside, and say what became of each."""
    folders = [Path(campaign.chunk_folder(name)) for name in campaign.names]
    olds = [old for folder in folders for old in sorted(folder.glob(f"*.nc{OLD}"))]
    found = [one for old in olds if (one := settle_one(old.with_name(old.name.removesuffix(OLD))))]
    tell(found)
    return found


def tell(settled: Sequence[Settled]) -> None:
    """Print what became of chunks."""
    for one in settled:
        print(f"{one.path}: {one.line}")


def absolved(config: Path, profile: Path, settled: Sequence[Settled]) -> list[list[str]]:
    """The command, if one is needed, without which a killed Snakemake would take chunks that were put back for half written."""
    back = [str(one.path) for one in settled if one.verdict == BACK]
    if not back or not INCOMPLETE.is_dir() or not any(INCOMPLETE.iterdir()):
        return []
    return [snakemake.command(config, profile, extra=["--cleanup-metadata", *back])]


def set_aside(paths: Iterable[Path]) -> None:
    """Set chunks aside, those that stand."""
    for path in paths:
        if aside(path).exists():
            raise Fault(f"{aside(path)}: a chunk with other bits was kept there; compare the two, then take one of them away")
        if path.is_file():
            path.replace(aside(path))


def again(campaign: Campaign, config: Path, profile: Path, spans: Sequence[tuple[str, str]], before: Commands) -> int:
    """Compute spans again and say whether their bits are the same: 0 if all are, else 1 or Snakemake's exit code."""
    found = standing.files(campaign.root)
    wanted = set(spans)
    jobs = [j for n in campaign.names for j in standing.span_jobs(campaign, n, found) if (j.source, j.span) in wanted]
    if busy := [job.name for job in jobs if job.state == RUNNING]:
        raise Fault(f"{busy[0]}: is being computed; wait for it, or end its job")
    paths = [job.output for job in jobs]
    stood = {path for path in paths if path.is_file()}
    words = snakemake.command(config, profile, [str(path) for path in paths])
    master.clear_lock(campaign, config, profile)
    settled: list[Settled] = []
    try:
        set_aside(paths)
        code = master.run(campaign, config, profile, *before, words)
    finally:
        settled += [one for path in paths if (one := settle_one(path))]
        tell(settled)
    for path in paths:
        if path not in stood:
            print(f"{path}: {'computed; there was none to compare it with' if path.is_file() else 'not computed'}")
    if mend := absolved(config, profile, settled):
        master.run(campaign, config, profile, *mend)
    same = sum(one.verdict == SAME for one in settled)
    print(f"{same} of {len(stood)} chunks that stood came out with the same bits")
    return code or (0 if same == len(stood) else 1)


def failed(campaign: Campaign, config: Path, profile: Path, before: Commands) -> int:
    """Run the jobs that failed or were lost, and the rest of the workflow if no other chunk is missing."""
    found = standing.files(campaign.root)
    jobs: list[Job] = [job for name in campaign.names for job in standing.span_jobs(campaign, name, found)]
    targets = [str(j.output) for j in (*jobs, *standing.other_jobs(campaign, found)) if j.state == FAILED]
    if not targets:
        print("no job failed")
        return master.run(campaign, config, profile, *before) if before else 0
    commands = [*before, snakemake.command(config, profile, targets)]
    if all(job.state == FAILED or str(job.output) in found for job in jobs):
        commands.append(snakemake.command(config, profile))
    return master.run(campaign, config, profile, *commands)


def rerun(campaign: Campaign, config: Path, profile: str, fail: bool, source: str | None, realisations: str | None) -> int:
    """Compute again what is asked for; exit code."""
    if fail == (source is not None or realisations is not None):
        raise Fault("rerun: give --failed alone, or --source, --realisations or both")
    folder, spans = snakemake.profile_folder(profile), [] if fail else chosen(campaign, source, realisations)
    campaign.refuse_unwritable()
    master.refuse_second(campaign)
    before = absolved(config, folder, settle(campaign))
    return failed(campaign, config, folder, before) if fail else again(campaign, config, folder, spans, before)
