"""What no longer belongs to a campaign: files of other keys, and what failures left. Listed, and removed when that is asked."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radsens import record
from radsens.campaign import Campaign
from radsens.chunk import span_name, spans
from radsens.operate import master, standing
from radsens.operate.rerun import OLD
from radsens.operate.status import size
from radsens.schema import Fault

KEY = "[0-9a-f]{12}"
SPAN = r"\d{6,}-\d{6,}"
CHUNK = re.compile(rf"chunks/([^/]+)/({KEY})/\.?({SPAN})\.(.+)")
GAPS = re.compile(rf"gaps/([^/]+)/\.?({KEY})-\d+\.nc.*")
DECISION = re.compile(rf"enough/([^/]+)/\.?({KEY})\.json.*")
SCENE = re.compile(rf"scene/\.?({KEY})\.nc.*")
WARM = re.compile(rf"warm/({KEY})\.txt")
LOG = re.compile(rf"logs/(?:([^/]+)/\.?({KEY})(?:/[^/]+|-\d+\.[^/]+|\.[^/]+)|\.?table-({KEY})\.[^/]+)")
REMNANTS = {".corrupt": "set aside as damaged", ".part": "half written"}


@dataclass(frozen=True)
class Leaf:
    """A file that does not belong to the campaign as it is set now, why, and its size [byte]."""

    path: Path
    why: str
    size: int


def reason(campaign: Campaign, path: str, standing_files: dict[str, standing.Entry]) -> str | None:
    """Why a file does not belong; None if it does, or if it is not one that radsens makes. `path` is relative to the campaign."""
    keys = campaign.keys
    if match := CHUNK.fullmatch(path):
        return _chunk(campaign, path, match[1], match[2], match[3], standing_files)
    if match := GAPS.fullmatch(path):
        kept = str(campaign.root / path) == campaign.gaps(match[1]) if match[1] in keys else False
        return None if kept else _remnant(path) or "gathered rows of other settings"
    if match := DECISION.fullmatch(path):
        kept = match[2] == campaign.decision_keys.get(match[1])
        return _remnant(path) or (None if kept else "decision of other settings")
    if match := SCENE.fullmatch(path):
        return _remnant(path) or (None if match[1] == campaign.scene_key else "scene of other settings")
    if match := WARM.fullmatch(path):
        return None if str(campaign.root / path) == campaign.warm else "compiled for other code or settings"
    if match := LOG.fullmatch(path):
        return _remnant(path) or (None if (match[3] or match[2]) in _log_keys(campaign, match[1]) else "log of other settings")
    return None


def _log_keys(campaign: Campaign, name: str | None) -> set[str | None]:
    """Keys in the logs of the jobs of a name (a source, the scene, what compiles), or of the table."""
    if name is None:
        return {campaign.id}
    alone = {"scene": campaign.scene_key, "warm": Path(campaign.warm).stem}
    return {alone[name]} if name in alone else {campaign.keys.get(name), campaign.decision_keys.get(name)}


def _remnant(path: str) -> str | None:
    return next((why for ending, why in REMNANTS.items() if path.endswith(ending)), None)


def _chunk(
    campaign: Campaign, path: str, source: str, key: str, span: str, standing_files: dict[str, standing.Entry]
) -> str | None:
    """The same of a file in a folder of chunks: a chunk set aside or begun is kept while the one it stands for is not made."""
    if campaign.keys.get(source) != key:
        return "chunk of other settings"
    if why := _remnant(path):
        return why
    if span not in map(span_name, spans(campaign.most(source), campaign.config.span)):
        return "span of another cutting"
    made = f"{campaign.chunk_folder(source)}/{span}.nc" in standing_files
    if path.endswith((OLD, ".work")):
        return "its chunk stands" if made else None
    return None


def leaves(campaign: Campaign) -> list[Leaf]:
    """All files that do not belong to the campaign; links are neither followed nor given."""
    found = standing.files(campaign.root, links=False)
    listed = ((path, reason(campaign, str(Path(path).relative_to(campaign.root)), found)) for path in sorted(found))
    return [Leaf(Path(path), why, found[path].size) for path, why in listed if why]


def refuse_in_use(campaign: Campaign) -> None:
    """Refuse while a master or a job of the campaign lives, whatever its key."""
    master.refuse_second(campaign)
    if campaign.config.campaign in master.locked():
        raise Fault(f"{master.LOCKS}: this campaign is locked: a snakemake runs it, or was killed; prune when none does")
    found = standing.files(campaign.root / "logs")
    for path, entry in found.items():
        held = record.read(path) if path.endswith(".json") else {}
        if held.get("state") == "running" and standing.lives(held, [entry.mtime]):
            raise Fault(f"{path}: this job runs on {held.get('host')} (process {held.get('pid')}); prune when it has ended")


def emptied(folders: set[Path], root: Path) -> Iterator[Path]:
    """The folders of removed files that are empty now, and those above them below the campaign's."""
    for folder in sorted(folders, key=lambda p: -len(p.parts)):
        while folder != root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            yield folder
            folder = folder.parent


def prune(campaign: Campaign, remove: bool) -> None:
    """List what does not belong to a campaign, and remove it."""
    if not campaign.root.is_dir():
        raise Fault(f"{campaign.root}: there is no such folder; nothing of this campaign was run here")
    if remove:
        refuse_in_use(campaign)
    found = leaves(campaign)
    for leaf in found:
        print(f"{size(leaf.size):>8}  {leaf.path}  ({leaf.why})")
    counts = Counter(leaf.why for leaf in found)
    whole = f"{len(found)} files, {size(sum(leaf.size for leaf in found))}"
    about = ", ".join(f"{n} {why}" for why, n in counts.items())
    if not found:
        print(f"nothing in {campaign.root}/ is of other settings")
        return
    if not remove:
        print(f"{whole}: {about}; radsens prune --yes removes them")
        return
    try:
        for leaf in found:
            leaf.path.unlink(missing_ok=True)
        folders = list(emptied({leaf.path.parent for leaf in found}, campaign.root))
    except OSError as error:
        raise Fault(f"{error.filename}: cannot be removed ({error.strerror}); what was not removed is still there") from error
    print(f"removed {whole}, and {len(folders)} empty folders")
