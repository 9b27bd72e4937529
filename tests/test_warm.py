"""The job that compiles for all others."""

from pathlib import Path

import pytest
import yaml
from tests.workflow_tools import TINY

from radsens.campaign import Campaign
from radsens.instrument import load
from radsens.kernel import compiler
from radsens.sources import SOURCES
from radsens.warm import kinds, mark


def test_it_calls_a_band_with_polarisers_and_one_without_of_any_instrument():
    for name in ("parasol", "3mi", "ideal"):
        instrument = load(name)
        asked = list(kinds(instrument))
        assert {instrument.band(b).polarised for b in asked} == {instrument.band(b).polarised for b in instrument.band_names}
        assert len(asked) <= 2


def test_its_task_has_every_source_of_the_campaign_once(ready):
    assert [*ready.warm_task.sources] == ["polariser_orientation", "non_linearity"]
    assert {*ready.warm_task.sources} <= {*SOURCES}
    for name in ready.names:
        assert ready.task(name).precision == ready.warm_task.precision


def test_the_command_says_where_the_code_is_or_writes_it(here, capsys):
    from radsens.cli import app, run

    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    assert run(lambda: app(["warm", "tiny.yaml"])) == 0
    said = capsys.readouterr().out
    assert Path(said.strip().rpartition(": ")[2]) == Path(compiler().config.CACHE_DIR)
    assert run(lambda: app(["warm", Campaign.read("tiny.yaml").warm_task.model_dump_json(), "--output", "deep/said.txt"])) == 0
    assert capsys.readouterr().out == ""
    assert Path("deep/said.txt").read_text(encoding="utf-8") == said


def test_a_file_that_cannot_be_written_ends_in_one_sentence(here):
    from radsens.schema import Fault

    Path("file").touch()
    with pytest.raises(Fault, match=r"file/said\.txt: cannot be written"):
        mark(Path("file/said.txt"), "")


@pytest.mark.parametrize("task", ["{", '{"instrument": "parasol"}', "missing.yaml"])
def test_a_task_that_is_none_is_refused(refused, task):
    assert refused("warm", task)
