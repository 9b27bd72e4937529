"""The work file of a span: what a killed job had kept is not computed again, and the chunk has the same bits."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from tests.operate_tools import HELD
from tests.workflow_tools import TIMEOUT, one_sentence

from radsens import chunk, gather, io, work
from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.config import parse
from radsens.schema import Fault

# The long span fills a disk of 512 KiB, and is held where a test has something to do to it: that it lasts is not relied on.
TREE = {
    "campaign": "work",
    "instrument": "parasol",
    "bands": ["490P", "565NP", "670P"],
    "scene": {"kind": "analytic", "step": 2},
    "strata": {"dolp": [0, 0.1, 1]},
    "seed": 11,
    "realisations": 4000,
    "span": 4000,
    "sources": {"polariser_orientation": {"sigma": 0.1}, "radiometric_noise": {"snr": 100}},
    "combined": {"both": ["polariser_orientation", "radiometric_noise"]},
}
SHORT, BANDS = range(24, 33), 3


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A campaign with its scene, and the chunk of a short span that was never interrupted."""
    folder = tmp_path_factory.mktemp("work")
    campaign = Campaign(parse(TREE))
    chunk.write_scene(campaign.scene_spec, folder / "scene.nc")
    whole = chunk.compute(campaign.task("both"), folder / "scene.nc", SHORT)
    return campaign, folder / "scene.nc", io.results_sha256(whole.variables)


class Interrupted(Exception):
    """What a test stops a job with, in place of a signal."""


def write(place, output, span=SHORT, threads=1, name="both"):
    campaign, scene, _ = place
    chunk.write_chunk(campaign.task(name), scene, span, output, threads)
    return io.read(output).attributes


def interrupted(place, output, monkeypatch, after, sizes=(2,), threads=1):
    """Stop a job after some batches, the sizes of which are given, in turn; the path of its work file."""
    kept, keep = [], work.Work.keep

    def stopping(self, *given):
        keep(self, *given)
        kept.append(given)
        if len(kept) == after:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(work.Work, "keep", stopping)
        patch.setattr(work.Work, "size", lambda *given: min(given[-1], sizes[len(kept) % len(sizes)]))
        with pytest.raises(Interrupted):
            write(place, output, threads=threads)
    assert not output.exists()
    return work.beside(output)


def counts(attributes):
    return attributes["resumed_realisations"], attributes["computed_realisations"]


# --- a process that is killed -----------------------------------------------------------------------------------------


def command(place, folder, *more):
    """A real `radsens realise` of the long span."""
    campaign, scene, _ = place
    words = ["radsens", "realise", "both", "000000-003999", "--task", campaign.task_json("both"), "--scene", str(scene)]
    return [*words, "--output", str(folder / "000000-003999.nc"), *more]


@contextmanager
def held(place, folder, *more):
    """The same command, which has stopped itself with a hundredth of the span on the disk: it can neither go on nor end."""
    program = [sys.executable, "-c", HELD.format(source="both", share=0.01)]
    end, how = time.monotonic() + TIMEOUT, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG
    with subprocess.Popen(program + command(place, folder, *more)[1:]) as process:
        try:
            while (seen := os.waitid(os.P_PID, process.pid, how)) is None:
                assert time.monotonic() < end
                time.sleep(0.02)
            assert seen.si_code == os.CLD_STOPPED, "the job ended before it could be killed: nothing was tested"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_killed_process_resumes_after_its_last_batch_with_the_same_bits(place, tmp_path, threads):
    output = tmp_path / "000000-003999.nc"
    words = command(place, tmp_path, "--threads", threads)
    with held(place, tmp_path, "--threads", threads) as process:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    kept, of = work.progress(work.beside(output))
    assert of == BANDS * 4000
    assert 30 <= kept < of
    subprocess.run(words, check=True, timeout=TIMEOUT)
    resumed = io.read(output).attributes
    assert counts(resumed) == (kept, of - kept)
    assert not work.beside(output).exists()
    if threads == "1":
        campaign, scene, _ = place
        whole = chunk.compute(campaign.task("both"), scene, range(4000))
        assert whole.attributes["computed_realisations"] == of
        assert resumed[io.DIGEST] == io.results_sha256(whole.variables)


def test_two_processes_on_one_span_are_one_job_and_one_sentence(place, tmp_path):
    output = tmp_path / "000000-003999.nc"
    with held(place, tmp_path) as first:
        second = subprocess.run(command(place, tmp_path), capture_output=True, text=True, timeout=TIMEOUT)
        first.send_signal(signal.SIGCONT)
        assert first.wait(TIMEOUT) == 0
    assert second.returncode == 2
    assert "another process computes this span" in one_sentence(second.stderr)
    assert counts(io.read(output).attributes) == (0, BANDS * 4000)


# --- any cut, any damage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("after", "sizes"), [(1, (1,)), (4, (1, 2, 3)), (5, (4,)), (9, (3, 1)), (3, (9,)), (27, (1,))])
def test_the_cuts_of_a_span_and_where_it_stopped_change_no_bit(place, tmp_path, monkeypatch, after, sizes, threads):
    output = tmp_path / "chunk.nc"
    path = interrupted(place, output, monkeypatch, after, sizes, threads)
    kept, of = work.progress(path)
    assert kept > 0
    again = write(place, output, threads=threads)
    assert counts(again) == (kept, of - kept)
    assert again[io.DIGEST] == place[2]
    assert not path.exists()


def test_a_span_that_is_stopped_at_every_batch_ends(place, tmp_path, monkeypatch):
    output = tmp_path / "chunk.nc"
    for stop in range(1, 7):
        path = interrupted(place, output, monkeypatch, 1)
        assert work.progress(path)[0] == min(2 * stop, 9) + 2 * max(0, stop - 5)
    assert write(place, output)[io.DIGEST] == place[2]


def _tear(path):
    os.truncate(path, path.stat().st_size - 1)


def _tear_to_a_stub(path):
    """A head alone, cut in the middle."""
    with path.open("r+b") as f:
        f.truncate(path.read_bytes().rindex(work.MARK + bytes(4)) + work.HEAD.size // 2)


def _flip(path):
    """A bit of the last payload."""
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)


def _flip_the_address(path):
    """A bit of the first realisation of the last record, which its digest covers."""
    content = bytearray(path.read_bytes())
    content[content.rindex(work.MARK + bytes(4)) + len(work.MARK) + 4] ^= 1
    path.write_bytes(content)


def _add_zeros(path):
    """As a file system does that knew the new length when the node fell, and not the content."""
    os.truncate(path, path.stat().st_size + 5000)


@pytest.mark.parametrize(
    ("damage", "lost"), [(_tear, 2), (_tear_to_a_stub, 2), (_flip, 2), (_flip_the_address, 2), (_add_zeros, 0)]
)
def test_a_damaged_tail_is_cut_off_at_the_last_good_record(place, tmp_path, monkeypatch, damage, lost):
    output = tmp_path / "chunk.nc"
    path = interrupted(place, output, monkeypatch, 3)
    damage(path)
    again = write(place, output)
    assert counts(again) == (6 - lost, BANDS * len(SHORT) - 6 + lost)
    assert again[io.DIGEST] == place[2]


def _of_another_key(path):
    path.write_bytes(path.read_bytes().replace(b'"key": "', b'"key": "0', 1))


def _of_other_bits_of_the_scene(path):
    content, changed = re.subn(rb'("key": "\w{12} )\w', rb"\g<1>-", path.read_bytes(), count=1)
    assert changed
    path.write_bytes(content)


def _of_another_format(path):
    path.write_bytes(path.read_bytes().replace(work.MAGIC, b"radsens work file 0\n", 1))


def _no_work_file(path):
    path.write_bytes(b"\x00" * 10_000)


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("change", [_of_another_key, _of_other_bits_of_the_scene, _of_another_format, _no_work_file, _empty])
def test_a_file_that_is_not_this_spans_is_begun_anew(place, tmp_path, monkeypatch, change):
    output = tmp_path / "chunk.nc"
    change(interrupted(place, output, monkeypatch, 3))
    again = write(place, output)
    assert counts(again) == (0, BANDS * len(SHORT))
    assert again[io.DIGEST] == place[2]


def test_the_work_of_another_span_is_not_taken(place, tmp_path, monkeypatch):
    output = tmp_path / "chunk.nc"
    interrupted(place, output, monkeypatch, 3)
    assert counts(write(place, output, span=range(0, 9))) == (0, BANDS * 9)


def test_a_band_where_the_source_does_not_act_is_not_counted(place, tmp_path):
    assert counts(write(place, tmp_path / "chunk.nc", name="polariser_orientation")) == (0, 2 * len(SHORT))


# --- what stands in its way -------------------------------------------------------------------------------------------


# Each batch goes to the disk at once, as those of a slow span do: a fast one is over before its first flush is due.
FLUSHING = "from radsens import cli, work; work.INTERVALS = 0.0, 0.0; cli.main()"


def test_a_disk_that_fills_up_is_one_sentence_and_what_was_kept_serves(place, tmp_path):
    """A limit of 512 KiB on the size of a file stands for the disk: some batches fit, not all."""
    output = tmp_path / "000000-003999.nc"
    words = command(place, tmp_path)
    full = subprocess.run(
        ["bash", "-c", 'ulimit -f 512 && exec "$@"', "-", sys.executable, "-c", FLUSHING, *words[1:]],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert full.returncode == 2, full.stderr
    said = one_sentence(full.stderr)
    assert "cannot be written (File too large)" in said and ".work" in said
    kept, of = work.progress(work.beside(output))
    assert 0 < kept < of
    assert not output.exists()
    subprocess.run(words, check=True, timeout=TIMEOUT)
    assert counts(io.read(output).attributes) == (kept, of - kept)


def test_a_chunk_that_cannot_be_written_leaves_its_work(place, tmp_path, monkeypatch):
    """A folder stands where the chunk should be."""
    output = tmp_path / "chunk.nc"
    output.mkdir()
    with pytest.raises(Fault, match="cannot be written"):
        write(place, output)
    kept, of = work.progress(work.beside(output))
    assert kept == of
    output.rmdir()
    again = write(place, output)
    assert counts(again) == (of, 0)
    assert again[io.DIGEST] == place[2]


def test_a_folder_that_is_none_is_refused_before_anything_is_computed(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(chunk, "_computed", lambda *_: pytest.fail("it computes"))
    campaign, scene, _ = place
    (tmp_path / "file").write_text("")
    words = ["realise", "both", "000000-003999", "--task", campaign.task_json("both"), "--scene", str(scene)]
    assert run(lambda: app([*words, "--output", str(tmp_path / "file" / "chunk.nc")])) == 2
    assert "cannot be written" in one_sentence(capsys.readouterr().err)


def test_without_locks_a_span_is_computed_all_the_same(place, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert write(place, tmp_path / "chunk.nc")[io.DIGEST] == place[2]


def test_a_job_that_begins_when_another_ends_does_not_write_to_the_file_that_goes(place, tmp_path, monkeypatch):
    """The file that it opened is taken away before it has the lock: it opens the one that is at the path."""
    path, flock, gone = tmp_path / ".chunk.work", fcntl.flock, []

    def late(file, how):
        if not gone:
            gone.append(path.unlink())
        flock(file, how)

    path.write_bytes(b"of the other")
    monkeypatch.setattr(fcntl, "flock", late)
    with work.opened(path, "0" * 12, SHORT, [0]):
        assert path.read_bytes() == work.header("0" * 12, SHORT, [0])
    assert not path.exists(), "a file without a record goes"


# --- progress and pace ------------------------------------------------------------------------------------------------


def test_progress_is_read_while_the_job_has_the_file(place, tmp_path, monkeypatch):
    path = interrupted(place, tmp_path / "chunk.nc", monkeypatch, 6)
    about = json.loads(path.read_bytes().split(b"\n")[1])
    key = about.pop("key")
    assert about == {"first": 24, "count": 9, "bands": [0, 1, 2]}
    copy = shutil.copy(path, tmp_path / "copy")
    with work.opened(path, key, SHORT, range(3)) as book:
        assert work.progress(path) == (11, 27) == (book.resumed, 27)
    _tear(copy)
    assert work.progress(copy) == (9, 27)


@pytest.mark.parametrize("content", [None, b"", work.MAGIC, work.MAGIC + b"{]\n", b"other\n{}\n", b"\xff" * 99])
def test_what_is_no_work_file_has_no_progress(tmp_path, content):
    path = tmp_path / "some.work"
    if content is not None:
        path.write_bytes(content)
    assert work.progress(path) is None


def test_batches_grow_until_they_last_from_one_flush_to_the_next_and_are_whole_grains(place, tmp_path, monkeypatch):
    """A clock of 10 ms a realisation: 100 of them last the second between two flushes, and the grain here is 8.

    The time of this process stands still: a flush, which a slow test would come to, measures the disk anew.
    """
    monkeypatch.setattr(work, "perf_counter", lambda: 0.0)
    campaign, scene, _ = place
    one = gather.joined([chunk.compute(campaign.task("both"), scene, range(1))])
    path, sizes, first = tmp_path / "w", [], 0
    with work.opened(path, "0" * 12, range(1000), [0]) as book:
        for _ in range(6):
            size = book.size(2, 8, 1000 - first)
            batch = chunk.Batch(first, one["mean"].repeat(size, 0), one["histogram"][0], one["saturated"], one["outcome"])
            book.keep(0, batch, 0.01 * size)
            first += size
            sizes.append(size)
    assert sizes == [2, 16, 96, 96, 96, 96]
    assert book.size(2, 8, 190) == 190, "a rest that is not twice as long is not cut"


def test_a_realisation_that_lasts_longer_than_a_batch_should_is_kept_alone(place, tmp_path):
    campaign, scene, _ = place
    one = gather.joined([chunk.compute(campaign.task("both"), scene, range(1))])
    with work.opened(tmp_path / "w", "0" * 12, range(1000), [0]) as book:
        book.keep(0, chunk.Batch(0, one["mean"], one["histogram"][0], one["saturated"], one["outcome"]), 60.0)
        assert book.size(1, 4, 999) == 1
        assert book.size(8, 32, 999) == 8, "a realisation for each thread"
