"""Instruments shared by the tests of the physics, and how hypothesis runs."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from tests import workflow_tools

from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.instrument import Polarimeter, load

# A kernel is compiled at its first call, which takes seconds: no deadline can be set on one example.
settings.register_profile("radsens", deadline=None)
settings.load_profile("radsens")


@pytest.fixture(scope="session")
def ideal() -> Polarimeter:
    """Perfect triplets, for which the closed forms hold."""
    return load("ideal")


@pytest.fixture(scope="session")
def parasol() -> Polarimeter:
    """A realistic nominal instrument: polarisers, optics and transmissions that are not ideal."""
    return load("parasol")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> workflow_tools.Desk:
    """The tiny campaign, finished, which all workers share: to be looked at, not to be changed."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "workshop"
    shared.mkdir(exist_ok=True)
    return workflow_tools.workshop(shared)


@pytest.fixture
def desk(finished, tmp_path) -> workflow_tools.Desk:
    """A checkout of one's own in which the tiny campaign is finished."""
    return finished.copy(tmp_path / "a desk")


@pytest.fixture
def fresh(finished, tmp_path) -> workflow_tools.Desk:
    """A checkout of one's own in which nothing was run."""
    return workflow_tools.lay(tmp_path / "a fresh desk", finished.source, finished.cache)


@pytest.fixture
def editable(finished, tmp_path) -> workflow_tools.Desk:
    """A checkout in which the tiny campaign is finished, with a package of its own that may be edited."""
    found = finished.copy(tmp_path / "a desk")
    found.source = workflow_tools.copy_package(tmp_path / "src", finished.source / "radsens")
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here, capsys):
    """Run `radsens` on bad input; the sentence that it says."""

    def refuse(*words):
        before = {p: p.is_file() and p.read_bytes() for p in here.rglob("*")}
        code = run(lambda: app([*map(str, words)]))
        said = capsys.readouterr()
        assert code == 2, said.err
        assert {p: p.is_file() and p.read_bytes() for p in here.rglob("*")} == before
        assert not said.out or words[0] == "check"
        return workflow_tools.one_sentence(said.err).removeprefix("radsens: ")

    return refuse


@pytest.fixture
def ready(here):
    """A working folder with a campaign, a profile and a Snakefile that nothing runs."""
    Path("tiny.yaml").write_text(yaml.safe_dump(workflow_tools.TINY), encoding="utf-8")
    Path("profiles/local").mkdir(parents=True)
    Path("profiles/local/config.yaml").write_text("cores: 1\n", encoding="utf-8")
    Path("Snakefile").touch()
    return Campaign.read("tiny.yaml")
