"""Computing again: what failed alone, or chunks that stand, whose bits are compared; a chunk that stood is never lost."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.operate_tools import SLOW, faulty, row, start, state, told, until
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, SPANS, TIMEOUT, one_sentence

from radsens import io
from radsens.operate import rerun
from radsens.schema import Fault


def test_a_list_of_realisations_is_numbers_and_ranges():
    assert rerun.numbers("0,1, 20-23", 24) == [range(0, 1), range(1, 2), range(20, 24)]


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-2", "1,,2", "1.5", "0x1", "1-2-3", "9" * 30])
def test_a_bad_list_of_realisations_is_told_in_one_sentence(ready, refused, text):
    said = refused("rerun", "tiny.yaml", f"--realisations={text}")
    assert said.startswith("--realisations: must be numbers and ranges such as 0,1,20-23")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--realisations", "5"], "--realisations: there is no realisation 5; the last one is 4"),
        (["--realisations", "0-999999999"], "--realisations: there is no realisation 999999999; the last one is 4"),
        (["--source", CONTROL, "--realisations", "1"], "--realisations: there is no realisation 1; the last one is 0"),
        (["--source", "stray_light"], "--source: 'stray_light' is not in the campaign; it has control, "),
        ([], "rerun: give --failed alone, or --source, --realisations or both"),
        (["--failed", "--source", BOTH], "rerun: give --failed alone, or --source, --realisations or both"),
    ],
)
def test_what_cannot_be_computed_again_is_told_in_one_sentence(ready, refused, words, said):
    assert refused("rerun", "tiny.yaml", *words).startswith(said)


def test_realisations_of_all_sources_are_the_spans_that_hold_them(ready):
    assert rerun.chosen(ready, None, "1,4") == [
        (name, span) for name in (ORIENTATION, LINEARITY, BOTH) for span in (SPANS[0], SPANS[2])
    ]
    assert rerun.chosen(ready, BOTH, "2-3") == [(BOTH, SPANS[1])]
    assert (CONTROL, "000000-000000") in rerun.chosen(ready, None, "0")


def test_a_span_that_is_being_computed_is_left_alone(ready, refused):
    log = ready.root / "logs" / BOTH / ready.keys[BOTH] / f"{SPANS[0]}.log"
    told(log, state="running")
    assert refused("rerun", "tiny.yaml", "--source", BOTH) == f"{BOTH}/{SPANS[0]}: is being computed; wait for it, or end its job"


@pytest.mark.workflow
def test_chunks_computed_again_have_the_same_bits(desk):
    before = desk.table
    done = desk.radsens("rerun", "tiny.yaml", "--realisations", "1,4", "--source", BOTH, "--profile", "test")
    assert done.code == 0, done.text
    assert done.spans == {(BOTH, SPANS[0]): 1, (BOTH, SPANS[2]): 1}
    assert done.out.count(": the same bits (results_sha256 ") == 2
    assert done.out.splitlines()[-1] == "2 of 2 chunks that stood came out with the same bits"
    assert not list(desk.results.rglob("*.old"))
    assert desk.table == before and desk.plan().nothing


@pytest.mark.workflow
def test_other_bits_are_told_and_both_chunks_stay(desk):
    chunk = desk.chunk(LINEARITY)
    file = io.read(chunk)
    file["mean"][...] += 1
    io.write(chunk, file)
    done = desk.radsens("rerun", "tiny.yaml", "--source", LINEARITY, "--realisations", "0", "--profile", "test")
    assert done.code == 1 and "DIFFERENT" in done.out
    assert done.out.splitlines()[-1] == "0 of 1 chunks that stood came out with the same bits"
    old = chunk.with_name(chunk.name + ".old")
    assert io.read(old)["mean"][0, 0, 0, 0] == pytest.approx(io.read(chunk)["mean"][0, 0, 0, 0] + 1)
    again = desk.radsens("rerun", "tiny.yaml", "--source", LINEARITY, "--realisations", "0", "--profile", "test")
    assert again.code == 2 and "a chunk with other bits was kept there" in one_sentence(again.err)
    assert old.exists() and chunk.exists()


@pytest.mark.workflow
def test_a_failed_recomputation_puts_the_old_chunks_back(desk, tmp_path):
    before = {span: desk.chunk(BOTH, span).read_bytes() for span in SPANS}
    environment = faulty(desk, tmp_path / "site", f"memory:{SPANS[1]}")
    done = desk.radsens("rerun", "tiny.yaml", "--source", BOTH, "--profile", "test", **environment)
    assert done.code == 1
    assert "2 of 3 chunks that stood came out with the same bits" in done.out
    assert f"{SPANS[1]}.nc: not computed again; the old one was put back" in done.out
    assert desk.chunk(BOTH, SPANS[1]).read_bytes() == before[SPANS[1]]
    assert not list(desk.results.rglob("*.old"))
    assert desk.plan().nothing


@pytest.mark.workflow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_recomputation_that_is_ended_loses_no_chunk(desk, tmp_path, number):
    chunk = desk.chunk(BOTH)
    before = chunk.read_bytes()
    said, environment = tmp_path / "said.txt", faulty(desk, tmp_path / "site", f"{SLOW}:{BOTH}")
    words = ["rerun", "tiny.yaml", "--source", BOTH, "--realisations", "0", "--profile", "test"]
    first = start(desk, said, "radsens", *words, **environment)
    until(lambda: row(state(desk), BOTH)["running"], first, said)
    os.killpg(first.pid, number)
    first.wait(TIMEOUT)
    if number == signal.SIGKILL:
        assert not chunk.exists()
        done = desk.radsens("run", "tiny.yaml", "--profile", "test")
        assert done.code == 0, done.text
        assert "the old one was put back" in done.out and not done.rules
    assert chunk.read_bytes() == before
    assert not list(desk.results.rglob("*.old"))
    assert desk.radsens("run", "tiny.yaml", "--profile", "test", "--", "--dry-run").nothing


@pytest.mark.workflow
def test_failed_and_lost_spans_are_run_alone_and_then_the_rest(desk, tmp_path):
    table = desk.table
    for source, fault in ((LINEARITY, "memory"), (BOTH, "kill")):
        chunk = desk.chunk(source)
        chunk.unlink()
        shutil.rmtree(desk.results / "gaps" / source)
        environment = faulty(desk, tmp_path / "site", f"{fault}:{source}")
        assert desk.snakemake(chunk.relative_to(desk.root), **environment).code == 1
    found = state(desk)
    reasons = {one["job"]: one["reason"] for one in found["failures"]}
    assert reasons[f"{LINEARITY}/{SPANS[0]}"].startswith("not enough memory")
    assert reasons[f"{BOTH}/{SPANS[0]}"].startswith("lost: ")
    done = desk.radsens("rerun", "tiny.yaml", "--failed", "--profile", "test")
    assert done.code == 0, done.text
    assert done.spans == {(LINEARITY, SPANS[0]): 1, (BOTH, SPANS[0]): 1}
    assert done.rules["gather"] == 2
    assert desk.table == table and state(desk)["complete"]
    assert desk.radsens("rerun", "tiny.yaml", "--failed", "--profile", "test").out == "no job failed\n"


def test_what_was_set_aside_by_a_command_that_died_is_settled_by_the_next(ready):
    path = Path(ready.chunks(BOTH)[0])
    path.parent.mkdir(parents=True)
    rerun.aside(path).write_bytes(b"old")
    assert [(one.path, one.verdict) for one in rerun.settle(ready)] == [(path, rerun.BACK)]
    assert path.read_bytes() == b"old"
    rerun.aside(path).write_bytes(b"older")
    (one,) = rerun.settle(ready)
    assert one.verdict == rerun.DIFFERENT and "cannot be compared" in one.line
    assert path.exists() and rerun.aside(path).exists()
    with pytest.raises(Fault, match="compare the two"):
        rerun.set_aside([path])
