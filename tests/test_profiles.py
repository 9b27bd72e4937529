"""The profiles: the real Snakemake reads each, every line says what it is, and what a site must give is asked for at once."""

import re
from pathlib import Path

import pytest
import yaml
from tests.workflow_tools import one_sentence

from radsens.campaign import refuse_unset
from radsens.schema import Fault
from radsens.target import PINNED

PROFILES = sorted(path.parent for path in Path(__file__).parents[1].glob("profiles/*/config.yaml"))
REMOTE = [p.name for p in PROFILES if p.name not in ("local", "test")]
ACCOUNT_WANTED = ["trex", "trex-drmaa"]
KNOB = re.compile(r"^\s*#?\s*[\w-]+:( |$)")
TOLD = re.compile(r"\S\s+# \S")

each_profile = pytest.mark.parametrize("folder", PROFILES, ids=lambda p: p.name)


def text(folder):
    return (folder / "config.yaml").read_text(encoding="utf-8")


def test_no_profile_is_called_default_which_would_override_the_one_asked_for():
    assert {p.name for p in PROFILES} >= {"local", "test", "hal", "hal-qsub", "trex", "trex-drmaa", "sge"}
    assert not [p for p in PROFILES if p.name == "default"]


@each_profile
def test_every_line_of_a_profile_says_what_it_is(folder):
    bare = [line for line in text(folder).splitlines() if KNOB.match(line) and not TOLD.search(line)]
    assert not bare


@each_profile
def test_the_profiles_share_how_a_campaign_is_planned_and_resumed(folder):
    read = yaml.safe_load(text(folder))
    shared = {"scheduler": "greedy", "keep-going": True, "rerun-incomplete": True, "rerun-triggers": "mtime"}
    assert {k: read[k] for k in shared} == shared
    if folder.name in REMOTE:
        assert read["retries"] == 2
        assert read["latency-wait"] >= 60
        assert set(read["default-resources"]) >= {"mem_mb", "runtime"}


@pytest.mark.workflow
@each_profile
def test_snakemake_knows_every_option_of_a_profile_and_plans_with_it(folder, fresh):
    done = fresh.command(
        "snakemake", "-n", "--profile", f"profiles/{folder.name}", "--configfile", "tiny.yaml", RADSENS_ACCOUNT="lab"
    )
    assert done.code == 0, done.text
    assert done.rules["realise"] == 10


@pytest.mark.workflow
def test_snakemake_refuses_a_profile_with_an_option_that_it_does_not_know(fresh):
    path = fresh.root / "profiles/trex/config.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "slurm-arrais: realise # misspelt\n", encoding="utf-8")
    done = fresh.command("snakemake", "-n", "--profile", "profiles/trex", "--configfile", "tiny.yaml", RADSENS_ACCOUNT="lab")
    assert done.code != 0
    assert "slurm-arrais" in done.text


@pytest.mark.workflow
@pytest.mark.parametrize("name", ACCOUNT_WANTED)
@pytest.mark.parametrize("environment", [{}, {"RADSENS_ACCOUNT": ""}], ids=["unset", "empty"])
def test_a_missing_account_ends_in_one_sentence_before_anything_is_submitted(name, environment, fresh, monkeypatch):
    monkeypatch.delenv("RADSENS_ACCOUNT", raising=False)
    done = fresh.command("snakemake", "--profile", f"profiles/{name}", "--configfile", "tiny.yaml", **environment)
    assert done.code != 0
    said = one_sentence(done.text)
    assert "RADSENS_ACCOUNT is not set" in said
    assert not fresh.results.exists()


def test_a_variable_that_is_set_a_number_and_a_plain_name_are_resources():
    refuse_unset({"account": "'$WHO'", "queue": "'q'", "mem_mb": 1500}, {"WHO": "lab"})


@pytest.mark.parametrize("value", ["'$WHO'", "'${WHO}'", "'a-$WHO-b'"])
def test_a_variable_that_is_not_set_is_named_with_its_resource(value):
    with pytest.raises(Fault, match=r"default-resources\.account: WHO is not set; export WHO=… or write"):
        refuse_unset({"queue": "'q'", "account": value}, {})


@each_profile
def test_a_profile_of_a_cluster_compiles_for_all_of_its_nodes(folder):
    """In the job itself, or by what the user is told to export, where the executor hands on the user's environment."""
    files = [path.read_text(encoding="utf-8") for path in (*folder.glob("config.yaml"), *folder.glob("submit.py"))]
    pinned = [line for file in files for line in file.splitlines() if "RADSENS_TARGET" in line]
    assert len(pinned) == (folder.name in REMOTE)
    assert all(name in line for line in pinned for name in PINNED)
