"""Who runs a campaign: one master at a time, told by a record in the campaign's folder while Snakemake runs.

Snakemake's own locks say neither whose they are nor since when, and outlive a Snakemake that is killed.
"""

import os
import platform
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from radsens import record
from radsens.campaign import RESULTS, Campaign
from radsens.operate import snakemake
from radsens.schema import Fault

NAME = ".run.json"
LOCKS = Path(".snakemake") / "locks"


def record_path(campaign: Campaign) -> Path:
    """Record of the master of a campaign."""
    return campaign.root / NAME


def running(campaign: Campaign) -> dict[str, Any] | None:
    """Record of a master that lives, or may live on another host; None if there is none."""
    held = record.read(record_path(campaign))
    return held if held and record.alive(held) is not False else None


def sentence(campaign: Campaign, held: dict[str, Any]) -> str:
    """Who runs the campaign since when, and what to do."""
    pid, host, since = (held.get(knob) for knob in ("pid", "host", "started"))
    who = f"{campaign.root}: process {pid} on {host} runs this campaign since {since}"
    if record.alive(held) is None:
        look = f"look there (ps -p {pid}); if it is gone, type rm {record_path(campaign)}"
        return f"{who}, which cannot be seen from {platform.node()}: {look}"
    return f"{who}; wait for it, or end it with kill -INT {pid}"


def refuse_second(campaign: Campaign) -> None:
    """Refuse to touch a campaign that a master runs."""
    if held := running(campaign):
        raise Fault(sentence(campaign, held))


def locked() -> set[str]:
    """Names of the campaigns whose files Snakemake has locked in this folder."""
    names = set()
    for path in LOCKS.glob("*.lock"):
        with suppress(OSError):
            names |= {Path(line).parts[1] for line in path.read_text(encoding="utf-8").splitlines() if _is_result(line)}
    return names


def _is_result(line: str) -> bool:
    return len(Path(line).parts) > 2 and Path(line).parts[0] == str(RESULTS)


def clear_lock(campaign: Campaign, config: Path, profile: Path) -> None:
    """Take away the lock of a master that is known to be dead.

    Raises
    ------
    Fault : a master lives, or nothing tells whether one does
    """
    refuse_second(campaign)
    name, held = campaign.config.campaign, record.read(record_path(campaign))
    names = locked()
    if name not in names:
        return
    unlock = [*snakemake.command(config, profile), "--unlock"]
    if not held or held.get("folder") != os.getcwd():
        raise Fault(f"{LOCKS}: a lock without a record of its master; if no snakemake runs here, type {shlex.join(unlock)}")
    if others := sorted(names - {name}):
        raise Fault(f"{LOCKS}: locks {', '.join(others)} too; if no snakemake runs here, type {shlex.join(unlock)}")
    if code := snakemake.foreground(unlock):
        raise Fault(f"snakemake --unlock ended with exit code {code}; what it said stands above")


@contextmanager
def mastered(campaign: Campaign, profile: Path) -> Iterator[Callable[[int], None]]:
    """The campaign as one's own; gives what to call with the process of Snakemake once it runs.

    The record goes when Snakemake has ended and left no lock: killed, it leaves both, and the next run clears them.
    """
    path = record_path(campaign)
    about = {"started": record.now(), "folder": os.getcwd(), "profile": str(profile)}
    whole = path.with_name(f"{NAME}.{platform.node()}-{os.getpid()}.part")
    try:
        record.write(whole, {**record.process(os.getpid()), **about})
        refuse_second(campaign)
        path.unlink(missing_ok=True)
        os.link(whole, path)  # which another master that begins at this moment cannot do as well
    except FileExistsError:
        raise Fault(f"{path}: another radsens has just begun to run this campaign; see radsens status") from None
    except OSError as error:
        raise Fault(f"{path}: cannot be written ({error.strerror}); look at the space and the rights there") from error
    finally:
        with suppress(OSError):
            whole.unlink(missing_ok=True)

    def started(pid: int) -> None:
        with suppress(OSError):  # the record of this process stands
            record.write(path, {**record.process(pid), **about})

    try:
        yield started
    finally:
        if campaign.config.campaign not in locked():
            with suppress(OSError):
                path.unlink(missing_ok=True)


def run(campaign: Campaign, config: Path, profile: Path, *commands: Sequence[str]) -> int:
    """Run commands of Snakemake as the master of a campaign, as long as they succeed; the last exit code."""
    clear_lock(campaign, config, profile)
    code = 0
    with mastered(campaign, profile) as started:
        for words in commands:
            if code := snakemake.foreground(words, started):
                break
    return code
