"""Run a campaign: Snakemake in the foreground, a lock that a dead master left taken away, and what to type next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from radsens.campaign import Campaign
from radsens.operate import master, rerun, snakemake, status
from radsens.target import target


def run(campaign: Campaign, config: Path, profile: str, extra: Sequence[str] = ()) -> int:
    """Run the workflow of a campaign; Snakemake's exit code.

    Raises
    ------
    Fault : another master runs it, or may, or `RADSENS_TARGET` is not known; nothing was touched
    """
    campaign.refuse_unwritable()
    target()  # one that is not known is told here
    folder = snakemake.profile_folder(profile)
    words = snakemake.command(config, folder, extra=extra)
    master.refuse_second(campaign)
    before = rerun.absolved(config, folder, rerun.settle(campaign))
    code = master.run(campaign, config, folder, *before, words)
    found = status.show(campaign)
    print(f"next: {following(found, config, profile)}")
    return code


def following(found: status.Status, config: Path, profile: str) -> str:
    """The next command to type."""
    quoted = shlex.quote(str(config))
    if found.complete:
        return f"radsens table {quoted}"
    if found.failures:
        first, with_profile = found.failures[0]["job"], f"--failed --profile {shlex.quote(profile)}"
        why = f"radsens why {quoted} {first}, then " if "/" in first else ""
        return f"{why}radsens rerun {quoted} {with_profile}"
    return f"radsens run {quoted} --profile {shlex.quote(profile)}"
