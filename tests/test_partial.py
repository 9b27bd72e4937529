"""The table of what stands while sources are missing, and what gathering does with all damaged chunks of a source."""

import os
import shutil

import pandas as pd
import pytest
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, SPANS, one_sentence

from radsens import io

pytestmark = pytest.mark.workflow


def unmade(desk, gaps=(), chunks=()):
    """Take away the tables, gathered rows of sources, and chunks."""
    for path in desk.results.iterdir():
        if path.is_file():
            path.unlink()
    shutil.rmtree(desk.results / ".tables")
    for source in gaps:
        shutil.rmtree(desk.results / "gaps" / source)
    for source, span in chunks:
        desk.chunk(source, span).unlink()


def partial(desk, *words):
    """What is printed; nothing is written."""
    before = desk.files()
    done = desk.radsens("table", "tiny.yaml", "--partial", *words)
    assert done.code == 0, done.text
    assert desk.files() == before
    return done.out


def rows(out, source):
    """Lines of the first table that are of a source, in words."""
    first = out[out.index("rms gap") : out.index("sensitivity: rms")]
    return [line.split() for line in first.splitlines() if line.startswith(f"{source} ")]


def test_what_is_missing_is_named_and_what_stands_is_printed(desk):
    whole = desk.radsens("table", "tiny.yaml").out
    unmade(desk, gaps=(ORIENTATION, LINEARITY, BOTH), chunks=[(LINEARITY, SPANS[1]), *((BOTH, s) for s in SPANS)])
    out = partial(desk)
    assert "PARTIAL: 2 of 4 sources are not complete." in out
    assert "non_linearity: 1 of 3 spans missing; its rows are those of 3 realisations" in out
    assert "both: 3 of 3 spans missing\n" in out
    assert not rows(out, BOTH)
    # a source that is complete, though not gathered, has the numbers of the whole table
    found, expected = rows(out, ORIENTATION), rows(whole, ORIENTATION)
    assert [row[4] for row in found] == ["5"]
    assert [row[:4] + row[5:] for row in found] == expected
    assert [row[3] for row in rows(out, LINEARITY)] == ["3", "3"]  # this amplitude has no unit
    assert out.count("PARTIAL, ") == 2
    assert "control: largest |gap| without any error" in out
    assert "nothing was written: run snakemake again for the whole table" in out


def test_the_rows_of_some_spans_are_those_of_their_realisations_alone(desk):
    mean = [io.read(desk.chunk(LINEARITY, span)) for span in (SPANS[0], SPANS[2])]
    squares = [c["rms"][:, 0, 0, 0] ** 2 for c in mean]
    expected = (sum(s.sum() for s in squares) / 3) ** 0.5
    unmade(desk, gaps=[LINEARITY], chunks=[(LINEARITY, SPANS[1])])
    assert f"{expected:.3g}" in rows(partial(desk), LINEARITY)[0] or f"{expected:.2e}" in rows(partial(desk), LINEARITY)[0]


def test_a_campaign_that_only_lacks_its_tables_is_not_partial(desk):
    table = pd.read_csv(desk.results / "sensitivity.csv")
    unmade(desk)
    out = partial(desk, "--stratum", table["stratum"][0])
    assert "PARTIAL" not in out and "no span is missing" in out
    assert rows(out, BOTH)


def test_a_damaged_chunk_is_missing_and_stays_where_it_is(desk):
    unmade(desk, gaps=[BOTH])
    path = desk.chunk(BOTH)
    os.truncate(path, path.stat().st_size // 2)
    assert "both: 1 of 3 spans missing; its rows are those of 3 realisations" in partial(desk)
    assert path.exists()


def test_without_a_control_its_row_is_missing_alone(desk):
    unmade(desk, gaps=[CONTROL], chunks=[(CONTROL, "000000-000000")])
    out = partial(desk)
    assert "control: 1 of 1 spans missing\n" in out
    assert "control: largest" not in out
    assert rows(out, BOTH)


def refused(desk, *words):
    before = desk.files()
    done = desk.radsens("table", *words)
    assert done.code == 2
    assert desk.files() == before
    return one_sentence(done.err)


def test_where_nothing_stands_it_is_one_sentence(desk, fresh):
    assert "no span of any source stands yet" in refused(fresh, "tiny.yaml", "--partial")
    unmade(desk, gaps=(ORIENTATION, LINEARITY, BOTH), chunks=[(s, c) for s in (ORIENTATION, LINEARITY, BOTH) for c in SPANS])
    assert "no span of any source stands yet" in refused(desk, "tiny.yaml", "--partial"), "the control is no source"


def test_the_table_that_is_not_made_suggests_it(fresh):
    assert "add --partial to see what stands" in refused(fresh, "tiny.yaml")


def test_a_partial_table_is_never_written(desk):
    assert "printed, never written" in refused(desk, "results/tiny", "--partial", "--write", "0123456789ab")


def test_a_stratum_that_is_not_there_is_told(desk):
    unmade(desk)
    assert "--stratum: 'nowhere' is not in the table" in refused(desk, "tiny.yaml", "--partial", "--stratum", "nowhere")


def test_all_damaged_chunks_of_a_source_are_set_aside_in_one_gathering_and_one_sentence(desk):
    table = desk.table
    unmade(desk, gaps=[BOTH])
    first, second, third = (desk.chunk(BOTH, span) for span in SPANS)
    os.truncate(first, first.stat().st_size // 2)
    shutil.copy(second, third)  # whole, but of other realisations
    words = ["gather", first.parent, "--realisations", 5, "--span", 2, "--output", "results/tiny/new.nc"]
    failed = desk.radsens(*words)
    assert failed.code == 2
    said = one_sentence(failed.err)
    assert "set aside as 000000-000001.nc.corrupt" in said and said.endswith("(and 1 more)")
    assert sorted(p.name for p in first.parent.iterdir()) == [
        f"{SPANS[0]}.nc.corrupt",
        f"{SPANS[1]}.nc",
        f"{SPANS[2]}.nc.corrupt",
    ]
    assert desk.run().spans == {(BOTH, SPANS[0]): 1, (BOTH, SPANS[2]): 1}
    assert desk.table == table


def test_gathering_sweeps_the_work_of_chunks_that_stand_and_no_other(desk):
    """That of a job killed between the rename of its chunk and the removal of its work; another's span is not known here."""
    folder = desk.chunk(BOTH).parent
    left, other = folder / f".{SPANS[0]}.work", folder / ".000000-000099.work"
    for path in (left, other):
        path.write_bytes(b"some")
    unmade(desk, gaps=[BOTH])
    assert desk.run().rules == {"gather": 1, "table": 1}
    assert not left.exists()
    assert other.exists()


def test_the_workflow_resumes_a_span_from_the_work_of_a_killed_job(desk):
    """The work file of a whole span, as a job leaves it that was killed before it could write its chunk."""
    table, chunk = desk.table, desk.chunk(BOTH)
    digest, parent = io.read(chunk).attributes[io.DIGEST], chunk.parent
    kill = """
import os, signal
from radsens import cli, io
def killed(path, file):
    os.kill(os.getpid(), signal.SIGKILL)
io.write = killed
from radsens import work
work.INTERVALS = 0.0, 0.0
cli.main()
"""
    unmade(desk, gaps=[BOTH], chunks=[(BOTH, SPANS[0])])
    words = ["realise", BOTH, SPANS[0], "--task", "tiny.yaml", "--output", chunk]
    assert desk.command("python", "-c", kill, *words).code == -9
    assert [p.name for p in parent.glob(".*")] == [f".{SPANS[0]}.work"]
    assert desk.run().spans == {(BOTH, SPANS[0]): 1}
    again = io.read(chunk).attributes
    assert again[io.DIGEST] == digest
    assert (again["resumed_realisations"], again["computed_realisations"]) == (4, 0)
    assert not list(parent.glob(".*"))
    assert desk.table == table
