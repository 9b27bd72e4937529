"""The child process that holds the DRMAA session, over a double of the library whose jobs are local processes."""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_drmaa_array.child import ROOM, STATIC_TLS, Away, Child, Refused, Unloadable, environment
from snakemake_executor_plugin_drmaa_array.worker import REAPED_AT_ONCE, Session, answer

DOUBLE = Path(__file__).parent / "scripted"
JOB = {"script": ["-c", "exit $1", "name"], "name": "job", "native": "-r n", "count": 1}
LIMIT = 120  # of an answer [s]: the child starts first, on a machine that may be loaded


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """The folder that scripts the library."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setenv("SCRIPTED_DRMAA", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(DOUBLE), os.environ.get("PYTHONPATH", "")]))
    return folder


@pytest.fixture
def session(scripts):
    """A session in this process."""
    found = importlib.util.spec_from_file_location("scripted_drmaa", DOUBLE / "drmaa.py")
    module = importlib.util.module_from_spec(found)
    sys.modules["scripted_drmaa"] = module
    found.loader.exec_module(module)
    made = Session(module)
    yield made
    for process in made.session.running.values():
        process.kill()
        process.wait()
    del sys.modules["scripted_drmaa"]


@pytest.fixture
def child(scripts):
    """A child process."""
    found = Child()
    yield found
    (scripts / "block").unlink(missing_ok=True)
    found.close()


def ask(session, do, **words):
    return answer(session, {"do": do, "with": words})


def ends(session, ids):
    """Ends of jobs, which come with one poll or with several."""
    found, until = {}, time.monotonic() + LIMIT
    while set(ids) - set(found) and time.monotonic() < until:
        found |= {end["id"]: end for end in ask(session, "poll", look=[])["ok"]["ended"]}
        time.sleep(0.01)
    return found


def test_one_job_is_run_alone_and_several_as_an_array(session, tmp_path):
    log = str(tmp_path / "$drmaa_incr_ph$.log")
    assert ask(session, "submit", **{**JOB, "script": ["-c", "exit 3"]}, log=str(tmp_path / "a.log")) == {"ok": ["1"]}
    many = {**JOB, "script": ["-c", "echo $SGE_TASK_ID; kill -TERM $$"], "count": 2}
    assert ask(session, "submit", **many, log=log) == {"ok": ["2.1", "2.2"]}
    found = ends(session, ["1", "2.1", "2.2"])
    assert (found["1"]["status"], found["1"]["signal"]) == (3, None)
    assert found["2.2"]["signal"] == "SIGTERM" and found["2.2"]["usage"]["ru_wallclock"] == "1.0000"
    assert (tmp_path / "2.log").read_text() == "2\n"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("DrmCommunication", "away"), ("TryLater", "away"), ("Internal", "away"), ("DrmsInit", "away"), ("NoActiveSession", "away"),
     ("DeniedByDrm", "refused"), ("InvalidAttributeValue", "refused"), ("Authorization", "refused")],
)  # fmt: skip
def test_an_exception_of_the_library_is_an_absence_or_a_refusal_in_its_own_words(session, monkeypatch, name, kind):
    error = getattr(session.d, f"{name}Exception")

    def run(template):
        raise error("code 1:\n unknown  queue")

    monkeypatch.setattr(session.session, "runJob", run)
    assert ask(session, "submit", **JOB, log="/dev/null") == {kind: f"{name}Exception: code 1: unknown queue"}


def test_a_session_that_could_not_be_opened_is_opened_later_and_once(session, scripts):
    (scripts / "unopened").touch()
    assert "DrmsInitException" in ask(session, "hello")["away"]
    (scripts / "unopened").unlink()
    assert ask(session, "hello")["ok"]["system"] == "GE 8.1.9"
    ask(session, "poll", look=[])
    assert (scripts / "calls").read_text().split().count("initialize") == 2


def test_a_job_that_the_scheduler_does_not_know_is_gone_and_one_that_it_holds_is_not(session, scripts):
    assert ask(session, "poll", look=["9"])["ok"] == {"ended": [], "gone": ["9"]}
    (scripts / "held").touch()
    assert ask(session, "poll", look=["9"])["ok"] == {"ended": [], "gone": []}


def test_ends_that_were_taken_up_are_told_though_the_scheduler_goes_away_meanwhile(session, scripts, monkeypatch):
    (id,) = ask(session, "submit", **{**JOB, "script": ["-c", "exit 0"]}, log="/dev/null")["ok"]
    session.session.running[id].wait()

    def gone_away(job):
        raise session.d.DrmCommunicationException("code 2")

    monkeypatch.setattr(session.session, "jobStatus", gone_away)
    assert [end["id"] for end in ask(session, "poll", look=["9"])["ok"]["ended"]] == [id]
    assert "away" in ask(session, "poll", look=["9"])


def test_a_job_is_ended_and_waited_for_and_one_that_is_gone_counts_as_ended(session):
    (id,) = ask(session, "submit", **{**JOB, "script": ["-c", "sleep 60"]}, log="/dev/null")["ok"]
    assert ask(session, "terminate", jobs=[id, "999"], wait=True) == {"ok": []}
    assert ask(session, "state", job=id) == {"ok": "gone"}


def test_one_poll_takes_up_a_bounded_number_of_ends(session, monkeypatch):
    info = (lambda n: lambda *_: session.d.JobInfo(str(n), True, False, "", False, False, 0, None))(1)
    monkeypatch.setattr(session.session, "wait", info)
    assert len(ask(session, "poll", look=[])["ok"]["ended"]) == REAPED_AT_ONCE


def test_a_child_that_dies_gives_its_questions_back_and_the_next_one_starts_another(child, scripts):
    (scripts / "die").touch()
    with pytest.raises(Away, match="exit code 9"):
        child.ask("hello").result(LIMIT)
    assert child.ask("hello").result(LIMIT)["system"] == "GE 8.1.9"


def test_asking_a_child_that_is_blocked_does_not_block_whatever_is_asked_and_closing_ends_it(child, scripts):
    child.ask("hello").result(LIMIT)
    (scripts / "block").touch()
    start = time.monotonic()
    asked = [child.ask("poll", look=["a job"] * 100) for _ in range(500)]  # more than a pipe holds
    assert time.monotonic() - start < 5
    process = child._process
    child.close(0.2)
    assert process.returncode == -signal.SIGKILL
    for future in (asked[0], asked[-1]):
        with pytest.raises(Away):
            future.result(LIMIT)


def test_a_child_whose_master_was_killed_ends_though_its_library_blocks(child, scripts):
    child.ask("hello").result(LIMIT)
    (scripts / "block").touch()
    future, process = child.ask("poll", look=["a job"]), child._process
    child._lines.put(None)  # standard input is closed, as by the death of the master
    assert process.wait(LIMIT) == 1
    with pytest.raises(Away):
        future.result(LIMIT)


def test_an_end_without_usage_is_an_unknown_job_and_not_the_end_of_the_session(child, scripts):
    (scripts / "no usage").touch()
    (job,) = child.ask("submit", **{**JOB, "script": ["-c", "true"]}, log="/dev/null").result(LIMIT)
    process, seen = child._process, {"gone": []}
    end = time.monotonic() + LIMIT
    while job not in seen["gone"] and time.monotonic() < end:
        seen = child.ask("poll", look=[job]).result(LIMIT)
    assert seen == {"ended": [], "gone": [job]} and child._process is process


def test_a_library_that_prints_does_not_break_the_protocol(child, scripts):
    (scripts / "noisy").touch()
    assert child.ask("poll", look=["1"]).result(LIMIT) == {"ended": [], "gone": ["1"]}


def test_a_refusal_and_an_absence_reach_the_one_who_asked(child, scripts):
    (scripts / "refuse").touch()
    with pytest.raises(Refused, match="unknown queue nosuch"):
        child.ask("submit", **JOB, log="/dev/null").result(LIMIT)
    (scripts / "away").touch()
    with pytest.raises(Away, match="unable to contact"):
        child.ask("poll", look=[]).result(LIMIT)


def test_a_library_that_cannot_be_loaded_is_told(child, monkeypatch, scripts):
    monkeypatch.delenv("SCRIPTED_DRMAA")
    unloadable = Child()
    with pytest.raises(Unloadable, match="DRMAA_LIBRARY_PATH"):
        unloadable.ask("hello").result(LIMIT)
    unloadable.close()


def test_the_child_ignores_ctrl_c_and_closes_its_session_when_it_is_closed(child, scripts):
    child.ask("hello").result(LIMIT)
    process = child._process
    os.kill(process.pid, signal.SIGINT)
    assert child.ask("hello").result(LIMIT)
    child.close(LIMIT)
    assert process.returncode == 0
    assert (scripts / "calls").read_text().split()[-1] == "exit"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", f"{STATIC_TLS}={ROOM}"), ("a.b=1", f"a.b=1:{STATIC_TLS}={ROOM}"), (f"{STATIC_TLS}=99", f"{STATIC_TLS}=99")],
)
def test_room_for_thread_local_storage_is_reserved_unless_the_user_did(monkeypatch, given, expected):
    monkeypatch.setenv("GLIBC_TUNABLES", given)
    assert environment(None)["GLIBC_TUNABLES"] == expected
    assert environment("~/libdrmaa.so")["DRMAA_LIBRARY_PATH"] == os.path.expanduser("~/libdrmaa.so")
