"""The executor under the real Snakemake; its jobs are real, of local processes behind a double of the DRMAA library."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from textwrap import dedent
from threading import Thread
from types import SimpleNamespace

import pytest

import snakemake_executor_plugin_drmaa_array as executor
from snakemake_executor_plugin_drmaa_array import LOOKED_AT, Executor, ExecutorSettings, Watched, tasks
from snakemake_executor_plugin_drmaa_array.journal import Task

DOUBLE = Path(__file__).parent / "scripted"
SOURCE = Path(executor.__file__).parents[1]
TWO = """
    rule all:
        input: "1.txt", "2.txt"
    rule one:
        output: "{n}.txt"
        resources: mem_mb=7
        shell: "echo {wildcards.n} >> ran; sleep 1; echo whole > {output}"
"""
HELD = TWO.replace("sleep 1", "until test -e go; do sleep 0.1; done")
LIMIT = 240  # of what is waited for [s]: starts of Snakemake and of its jobs, on a machine that is loaded


class Desk:
    """A workflow and the scripts of its scheduler."""

    def __init__(self, root: Path):
        self.root, self.scripts = root, root / "scripts"
        self.scripts.mkdir(parents=True)
        path = os.pathsep.join([str(DOUBLE), str(SOURCE)])
        self.environment = {**os.environ, "PYTHONPATH": path, "SCRIPTED_DRMAA": str(self.scripts), "SGE_ROOT": "/none"}
        self.environment |= {"XDG_CACHE_HOME": str(root)}

    def start(self, workflow, *words):
        (self.root / "Snakefile").write_text(dedent(workflow))
        line = [sys.executable, "-m", "snakemake", "--executor", "drmaa-array", "--jobs", "20", "--latency-wait", "3"]
        line += ["--seconds-between-status-checks", "1", "--default-resources", "mem_mb=0", "disk_mb=0"]
        self.said = (self.root / "said").open("w")
        streams = {"stdout": self.said, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        restored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        words = [*line, *map(str, words)]
        return subprocess.Popen(words, cwd=self.root, env=self.environment, start_new_session=True, **streams, **restored)

    def end(self, process):
        try:
            code = process.wait(LIMIT)
        finally:
            if process.poll() is None:
                process.kill()
            self.said.close()
        return code, (self.root / "said").read_text()

    def run(self, workflow, *words):
        return self.end(self.start(workflow, *words))

    def script(self, name):
        (self.scripts / name).touch()

    def calls(self, name):
        path = self.scripts / "calls"
        return path.read_text().split().count(name) if path.exists() else 0

    def ran(self):
        path = self.root / "ran"
        return sorted(path.read_text().split()) if path.exists() else []

    def until(self, condition):
        limit = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < limit, (self.root / "said").read_text()
            time.sleep(0.1)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "a 'desk'")


def test_jobs_of_one_rule_are_one_array_and_nothing_is_left_behind(desk):
    code, said = desk.run(TWO)
    assert code == 0, said
    assert (desk.calls("runBulkJobs"), desk.calls("runJob")) == (1, 0)
    assert desk.ran() == ["1", "2"]
    assert (desk.scripts / "specifications").read_text() == "-l h_vmem=7M -r n\n" * 2
    assert not (desk.root / executor.FOLDER).exists()


def test_a_failed_job_is_said_to_have_failed_and_its_output_goes(desk):
    code, said = desk.run("rule one:\n    output: 'half'\n    shell: 'echo half > {output}; exit 3'\n")
    assert code == 1 and "exit status 1 on" in said
    assert not (desk.root / "half").exists()


def test_an_outage_that_ends_in_time_fails_nothing_and_runs_nothing_twice(desk):
    process = desk.start(HELD)
    desk.until(lambda: desk.ran() == ["1", "2"])
    desk.script("away")
    desk.until(lambda: "does not answer" in (desk.root / "said").read_text())
    (desk.scripts / "away").unlink()
    (desk.root / "go").touch()
    code, said = desk.end(process)
    assert code == 0, said
    assert desk.ran() == ["1", "2"]


def test_a_submission_during_an_outage_is_made_after_it(desk):
    desk.script("away")
    process = desk.start(HELD, "--drmaa-array-system", "ge", "--drmaa-array-outage", 60)
    desk.until(lambda: "does not answer" in (desk.root / "said").read_text())
    (desk.scripts / "away").unlink()
    desk.until(lambda: "answers again" in (desk.root / "said").read_text())  # once answers have lasted for 5 s
    (desk.root / "go").touch()
    code, said = desk.end(process)
    assert code == 0 and "Error" not in said
    assert said.count("answers again") == 1
    assert desk.ran() == ["1", "2"]


def test_an_outage_that_lasts_too_long_ends_the_run_in_a_sentence(desk):
    desk.script("away")
    code, said = desk.run(TWO, "--drmaa-array-system", "ge", "--drmaa-array-outage", 3)
    assert code == 1
    assert "the scheduler has not answered for 3 s" in said and "Traceback" not in said


def test_a_scheduler_that_is_away_at_the_start_and_a_library_that_is_none_are_one_sentence(desk):
    desk.script("away")
    code, said = desk.run(TWO)
    assert code != 0 and "the scheduler does not answer" in said and "Traceback" not in said
    del desk.environment["SCRIPTED_DRMAA"]
    code, said = desk.run(TWO)
    assert code != 0 and "set DRMAA_LIBRARY_PATH" in said and "Traceback" not in said


def test_a_library_that_is_slow_to_open_does_not_end_the_polling(desk):
    desk.script("block")
    process = desk.start(TWO)
    desk.until(lambda: desk.calls("initialize") == 1)
    time.sleep(3)
    (desk.scripts / "block").unlink()
    code, said = desk.end(process)
    assert code == 0, said


def test_a_refused_submission_is_told_with_its_options_and_the_schedulers_words(desk):
    desk.script("refuse")
    code, said = desk.run(TWO, "--drmaa-array-queue", "nosuch.q")
    assert code == 1 and desk.ran() == []
    assert "unknown queue nosuch.q" in said and "-q nosuch.q -r n" in said


def test_a_job_whose_submission_was_answered_by_nobody_runs_once(desk):
    desk.script("lose")
    code, said = desk.run(TWO)
    assert code == 0, said
    assert desk.calls("runBulkJobs") == 2
    assert desk.ran() == ["1", "2"]


@pytest.mark.parametrize(
    ("words", "arrays", "jobs"), [(("--drmaa-array-array-size", 2), 1, 1), (("--drmaa-array-system", "pbs"), 0, 3)]
)
def test_arrays_have_a_limit_and_pbs_has_none(desk, words, arrays, jobs):
    code, said = desk.run(TWO.replace('"2.txt"', '"2.txt", "3.txt"'), *words)
    assert code == 0, said
    assert (desk.calls("runBulkJobs"), desk.calls("runJob")) == (arrays, jobs)
    assert desk.ran() == ["1", "2", "3"]


def test_ctrl_c_ends_every_job(desk):
    process = desk.start(TWO.replace("sleep 1", f"exec sleep {2 * LIMIT}"))
    desk.until(lambda: desk.ran() == ["1", "2"])
    os.kill(process.pid, signal.SIGINT)
    code, said = desk.end(process)
    assert code != 0 and "Ended 2 jobs." in said
    assert desk.calls("control") == 2
    running = [int(p.read_text()) for p in desk.scripts.glob("job-*")]
    assert len(running) == 2
    desk.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running))


def watching(root, jobs, monkeypatch):
    """An executor that watches jobs which the scheduler holds, as it is after their submission."""
    found = object.__new__(Executor)
    monkeypatch.setattr(executor, "SETTLED", 0.0)
    found.child, found.logger = executor.Child(), SimpleNamespace(warning=print, info=print)
    found.settings, found.ready, found.stopping = ExecutorSettings(), True, False
    found.workflow = SimpleNamespace(execution_settings=SimpleNamespace(latency_wait=3))
    found.polling, found.down, found.looked, found.waiting, found.looking = None, None, 0, [], []
    paths = [str(root / f"1.{n}") for n in range(jobs)]
    infos = [SimpleNamespace(aux={"path": path}) for path in paths]
    pairs = zip(infos, paths, strict=True)
    found.watched = {path: Watched(info, Task(path, "r", (path,), "d", "-r n", id=path)) for info, path in pairs}
    return found, infos


async def poll(found, infos):
    return [info async for info in found.check_active_jobs(infos)]


@pytest.mark.parametrize("jobs", [100, 2000])
def test_the_calls_of_a_poll_do_not_grow_with_the_number_of_jobs(desk, jobs, monkeypatch):
    for name in ("PYTHONPATH", "SCRIPTED_DRMAA"):
        monkeypatch.setenv(name, desk.environment[name])
    desk.script("held")
    found, infos = watching(desk.root, jobs, monkeypatch)
    scans, scan = [], tasks.endings
    monkeypatch.setattr(tasks, "endings", lambda folder: scans.append(folder) or scan(folder))
    try:
        found.child.ask("hello").result(LIMIT)
        start = time.monotonic()
        assert len(asyncio.run(poll(found, infos))) == jobs
        print(f"a poll of {jobs} jobs: {time.monotonic() - start:.3f} s")
    finally:
        found.child.close()
    assert scans == [desk.root]
    assert (desk.calls("jobStatus"), desk.calls("wait")) == (LOOKED_AT, 1)


def test_a_library_that_never_answers_is_an_outage(desk, monkeypatch):
    for name in ("PYTHONPATH", "SCRIPTED_DRMAA"):
        monkeypatch.setenv(name, desk.environment[name])
    monkeypatch.setattr(executor, "SILENCE", 0.1)
    desk.script("block")
    found, infos = watching(desk.root, 1, monkeypatch)
    found.settings.outage = 0
    try:
        with pytest.raises(executor.WorkflowError, match="has not answered for 0 s"):
            asyncio.run(poll(found, infos))
    finally:
        found.child.close(0.1)


def test_a_submission_that_got_no_answer_finds_its_turn_taken_after_ctrl_c(desk, monkeypatch):
    found, _ = watching(desk.root, 0, monkeypatch)
    task, ended = Task(str(desk.root / "1.1"), "r", ("1",), "d", "-r n"), []
    found.waiting, found.journal = [[(None, task)]], SimpleNamespace(ended=ended.append)
    found._withdraw()
    assert ended == [task] and found.waiting == []
    assert not tasks.claim(task.path)


def test_jobs_whose_submission_is_being_answered_at_ctrl_c_are_ended_too(desk, monkeypatch):
    """The answer comes in another thread, which takes a while to note and watch each job."""
    found, _ = watching(desk.root, 0, monkeypatch)
    found.journal = SimpleNamespace(submitted=lambda _: None, ended=lambda _: None)
    found.report_job_submission = lambda _: time.sleep(0.1)
    asked, answer = [], Future()
    answer.set_result([])
    found.child.ask = lambda do, jobs: asked.append((do, jobs)) or answer
    batch = [(None, Task(str(desk.root / f"1.{n}"), "r", (str(n),), "d", "-r n")) for n in range(3)]
    submission = Future()
    found.submitting = {submission}
    submission.add_done_callback(partial(found._submitted, batch))
    thread = Thread(target=submission.set_result, args=(["7.1", "7.2", "7.3"],))
    thread.start()
    found.cancel_jobs([])
    thread.join()
    assert asked == [("terminate", ["7.1", "7.2", "7.3"])]


def test_the_readme_gives_every_setting_with_its_default_and_its_help():
    readme = (Path(executor.__file__).parent / "README.md").read_text()
    told = re.findall(r"^\| `drmaa-array-([a-z-]+)` \| (.*?) \| (.*) \|$", readme, re.MULTILINE)
    fields = ExecutorSettings.__dataclass_fields__.values()
    assert told == [(f.name.replace("_", "-"), f"`{f.default}`" if f.default else "", f.metadata["help"]) for f in fields]
