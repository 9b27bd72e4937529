"""Pruning: what is of other settings is listed and goes, what stands or is anybody else's stays."""

import os
from pathlib import Path

import pytest
import yaml
from tests.operate_tools import told
from tests.workflow_tools import BOTH, LINEARITY, SPANS, TINY

from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.operate import master, prune, standing

OTHER = "0123456789ab"


def lay(path, content=b"bytes"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def campaign(here):
    """A campaign with every kind of file: of its settings, of others, left by failures, and a stranger's."""
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return Campaign.read("tiny.yaml")


def kept(campaign):
    """Files that belong to the campaign, or that radsens did not make."""
    chunks = Path(campaign.chunk_folder(BOTH))
    logs = campaign.root / "logs"
    return [
        lay(campaign.scene),
        *map(lay, (campaign.chunks(BOTH)[0], campaign.gaps(BOTH), campaign.table, campaign.mark)),
        lay(chunks / f".{SPANS[1]}.work"),
        lay(chunks / f"{SPANS[2]}.nc.old"),
        lay(chunks / "notes.txt"),
        lay(logs / BOTH / campaign.keys[BOTH] / f"{SPANS[0]}.log"),
        lay(logs / BOTH / f"{campaign.keys[BOTH]}-5.log"),
        lay(logs / "scene" / f"{campaign.scene_key}.json"),
        lay(logs / f"table-{campaign.id}.log"),
        lay(campaign.root / "images" / "x.png"),
        lay(campaign.root / "thesis.txt"),
        lay("results/other/chunks/both" / Path(OTHER) / f"{SPANS[0]}.nc"),
    ]


def lost(campaign):
    """Files that do not belong, and why."""
    chunks, root = Path(campaign.chunk_folder(BOTH)), campaign.root
    return {
        lay(root / "chunks" / BOTH / OTHER / f"{SPANS[0]}.nc"): "chunk of other settings",
        lay(root / "chunks" / BOTH / OTHER / f".{SPANS[0]}.work"): "chunk of other settings",
        lay(root / "chunks" / "stray_light" / OTHER / f"{SPANS[0]}.nc"): "chunk of other settings",
        lay(chunks / "000000-000004.nc"): "span of another cutting",
        lay(chunks / f".{SPANS[0]}.work"): "its chunk stands",
        lay(chunks / f"{SPANS[0]}.nc.old"): "its chunk stands",
        lay(chunks / f"{SPANS[1]}.nc.corrupt"): "set aside as damaged",
        lay(chunks / f".{SPANS[1]}.nc.host-12.part"): "half written",
        lay(root / "gaps" / BOTH / f"{OTHER}-5.nc"): "gathered rows of other settings",
        lay(root / "gaps" / BOTH / f"{campaign.keys[BOTH]}-4.nc"): "gathered rows of other settings",
        lay(root / "scene" / f"{OTHER}.nc"): "scene of other settings",
        lay(root / "logs" / BOTH / OTHER / f"{SPANS[0]}.json"): "log of other settings",
        lay(root / "logs" / BOTH / f"{OTHER}-5.log"): "log of other settings",
        lay(root / "logs" / "scene" / f"{OTHER}.log"): "log of other settings",
        lay(root / "logs" / f"table-{OTHER}.json"): "log of other settings",
    }


def test_what_is_of_other_settings_is_listed_and_nothing_is_removed_unasked(campaign, capsys):
    all_kept, all_lost = kept(campaign), lost(campaign)
    assert {leaf.path: leaf.why for leaf in prune.leaves(campaign)} == all_lost
    assert run(lambda: app(["prune", "tiny.yaml"])) == 0
    said = capsys.readouterr().out
    assert all(str(path) in said for path in all_lost)
    assert f"{len(all_lost)} files" in said and "--yes removes them" in said
    assert all(path.exists() for path in (*all_kept, *all_lost))


def test_what_is_of_other_settings_goes_with_its_empty_folders_and_the_rest_stays(campaign):
    all_kept, all_lost = kept(campaign), lost(campaign)
    assert run(lambda: app(["prune", "tiny.yaml", "--yes"])) == 0
    assert all(path.exists() for path in all_kept)
    assert not any(path.exists() for path in all_lost)
    assert not (campaign.root / "chunks" / "stray_light").exists()
    assert not prune.leaves(campaign)


def test_links_are_neither_followed_nor_removed(campaign, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    precious = lay(elsewhere / f"{SPANS[0]}.nc")
    folder = campaign.root / "chunks" / BOTH
    folder.mkdir(parents=True)
    (folder / OTHER).symlink_to(elsewhere)
    linked = folder / campaign.keys[BOTH]
    linked.mkdir()
    (linked / "000000-000004.nc").symlink_to(precious)
    assert not prune.leaves(campaign)
    assert run(lambda: app(["prune", "tiny.yaml", "--yes"])) == 0
    assert precious.exists() and (folder / OTHER).is_symlink() and (linked / "000000-000004.nc").is_symlink()


def test_a_linked_chunk_stands_for_the_status(campaign, tmp_path_factory):
    chunk = Path(campaign.chunks(BOTH)[0])
    chunk.parent.parent.mkdir(parents=True)
    chunk.parent.symlink_to(tmp_path_factory.mktemp("elsewhere"))
    chunk.write_bytes(b"bytes")
    assert str(chunk) in standing.files(campaign.root)
    (campaign.root / "above").symlink_to(campaign.root.absolute())
    assert len(standing.files(campaign.root)) < 100  # a link to a folder above ends


def test_nothing_is_pruned_while_a_job_lives_or_the_campaign_is_locked(campaign, refused):
    old = lay(campaign.root / "chunks" / BOTH / OTHER / f"{SPANS[0]}.nc")
    log = campaign.root / "logs" / BOTH / OTHER / f"{SPANS[1]}.log"
    told(log, state="running")
    assert f"this job runs on {os.uname().nodename} (process {os.getpid()})" in refused("prune", "tiny.yaml", "--yes")
    told(log, state="done")
    master.LOCKS.mkdir(parents=True)
    (master.LOCKS / "0.output.lock").write_text(campaign.scene, encoding="utf-8")
    assert "this campaign is locked" in refused("prune", "tiny.yaml", "--yes")
    assert old.exists()


def test_a_campaign_without_results_has_nothing_to_prune(campaign, refused):
    assert refused("prune", "tiny.yaml") == "results/tiny: there is no such folder; nothing of this campaign was run here"


@pytest.mark.workflow
def test_after_a_change_of_amplitude_and_pruning_nothing_is_left_to_run(desk):
    desk.amplitude(**{LINEARITY: 0.02})
    desk.run()
    done = desk.radsens("prune", "tiny.yaml", "--yes")
    assert done.code == 0 and "removed" in done.out, done.text
    assert desk.plan().nothing
    assert desk.radsens("status", "tiny.yaml").code == 0
    assert desk.radsens("prune", "tiny.yaml").out == "nothing in results/tiny/ is of other settings\n"
