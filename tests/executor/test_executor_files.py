"""Files of the executor: the script that really runs a task, its marker, and the journal that a dead master leaves."""

import os
import platform
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_drmaa_array import tasks
from snakemake_executor_plugin_drmaa_array.journal import JOURNAL, Journal, Task, alive, open_tasks

INDEX = ["SGE_TASK_ID", "SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX"]


class Folder:
    """A folder of tasks, whose name has a space and quotes, as has its working directory."""

    def __init__(self, base: Path):
        self.path, self.work = base / 'it\'s a "folder"', base / "it's $HOME `work`"
        self.path.mkdir()
        self.work.mkdir()

    def run(self, script, *words, variables=None, environment=None, prelude=None):
        """Run a task by /bin/sh, which the scheduler starts elsewhere; exit code."""
        tasks.write_runner(self.path, str(self.work), environment or {}, prelude)
        (self.path / "1.2.sh").write_text(script)
        own = {"PATH": os.environ["PATH"], "JOB_ID": "77", **(variables or {})}
        return subprocess.run(["/bin/sh", self.path / tasks.RUNNER, *words], env=own, cwd="/").returncode


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.mark.parametrize("code", [0, 3, 137])
def test_the_marker_tells_the_exit_code_and_the_host(folder, code):
    assert folder.run(f"exit {code}", "1", "2") == code
    host = subprocess.run(["hostname"], capture_output=True, text=True).stdout.strip()
    assert tasks.endings(folder.path) == {str(folder.path / "1.2"): tasks.Ending(code, host)}


@pytest.mark.parametrize("name", INDEX)
def test_a_task_of_an_array_finds_its_index_in_the_variable_of_its_scheduler(folder, name, monkeypatch):
    assert folder.run("echo ran > ran", "1", "-", variables={"SGE_TASK_ID": "undefined", name: "2"}) == 0
    assert (folder.work / "ran").exists()
    monkeypatch.setenv("SGE_ROOT", "/opt/sge")
    assert tasks.claimed_by(str(folder.path / "1.2")) == "77.2"
    monkeypatch.delenv("SGE_ROOT")
    assert tasks.claimed_by(str(folder.path / "1.2")) == "77_2"


def test_a_task_that_was_claimed_is_not_run_again(folder):
    for _ in range(2):
        assert folder.run("echo ran >> ran", "1", "2") == 0
    assert (folder.work / "ran").read_text() == "ran\n"
    assert tasks.claimed_by(str(folder.path / "1.2")) == "77"
    assert not tasks.claim(str(folder.path / "1.2"))


def test_the_claim_of_a_task_whose_script_is_kept_stays_so_that_a_twin_in_the_queue_does_not_run(folder):
    folder.run("echo ran >> ran; exit 3", "1", "2")
    tasks.remove(str(folder.path / "1.2"), keep=(".sh", ".log"))
    folder.run("echo ran >> ran; exit 3", "1", "2")
    assert (folder.work / "ran").read_text() == "ran\n"


def test_nothing_of_a_removed_task_is_left(folder):
    folder.run("exit 0", "1", "2")
    tasks.remove(str(folder.path / "1.2"))
    assert [p.name for p in folder.path.iterdir()] == [tasks.RUNNER]


def test_a_prelude_that_fails_is_told_and_the_job_is_not_run(folder):
    assert folder.run("touch ran", "1", "2", prelude="false # module load nothing") == tasks.PRELUDE_FAILED
    (ending,) = tasks.endings(folder.path).values()
    assert ending.code == tasks.PRELUDE_FAILED and not (folder.work / "ran").exists()


def test_a_working_directory_that_is_not_there_is_a_failure(folder):
    folder.work.rmdir()
    assert folder.run("exit 0", "1", "2") == 1
    assert [e.code for e in tasks.endings(folder.path).values()] == [1]


@pytest.mark.parametrize("value", ["it's", 'a "b" $HOME `id`', "back\\slash {x}", "", "two\nlines"])
def test_a_variable_reaches_the_job_as_it_is(folder, value):
    folder.run('printf %s "$GIVEN" > given', "1", "2", environment={"GIVEN": value}, prelude="export PRELUDE=1")
    assert (folder.work / "given").read_text() == value


def test_a_marker_that_cannot_be_read_now_hides_no_other(tmp_path):
    (tmp_path / "1.1.exit").write_text("0 n1\n")
    (tmp_path / "1.2.exit").symlink_to(tmp_path / "vanished")
    (tmp_path / "1.3.exit").write_text("")
    assert tasks.endings(tmp_path) == {str(tmp_path / "1.1"): tasks.Ending(0, "n1")}
    assert tasks.endings(tmp_path / "not there") == {}


@pytest.fixture
def begin(tmp_path):
    """Begin a master, whose journal is closed at the end of the test at the latest."""
    with ExitStack() as stack:

        def begun(root=tmp_path):
            journal = Journal(root)
            stack.callback(journal._file.close)
            return journal

        yield begun


def task(journal, index=1, **changes):
    return replace(Task(str(journal.folder / f"1.{index}"), "r", (f"{index}.txt",), "d", "-r n"), **changes)


def dead(journal):
    """Make a journal that of a master that was killed: nothing holds its lock."""
    journal._file.close()


def test_a_dead_master_leaves_its_open_tasks_and_not_those_that_ended(begin):
    first = begin()
    one, two, three = (task(first, i) for i in (1, 2, 3))
    first.planned([one, two, three])
    first.submitted([replace(one, id="7.1"), replace(two, id="7.2")])
    first.ended(two)
    dead(first)
    left = begin().left()
    assert left == {("1.txt",): replace(one, id="7.1"), ("3.txt",): three}


def test_a_master_that_is_alive_leaves_nothing(begin):
    first = begin()
    first.planned([task(first)])
    assert begin().left() == {}


def test_a_task_that_was_taken_over_and_ended_is_nobodys(begin):
    first = begin()
    one = task(first, id="7")
    first.planned([one])
    dead(first)
    second = begin()
    assert list(second.left().values()) == [one]
    dead(second)
    third = begin()
    assert list(third.left().values()) == [one]
    third.ended(one)
    dead(third)
    assert begin().left() == {}


@given(st.floats(0, 1), st.sampled_from([b"", b"\xff", b"\0\0"]))
def test_a_journal_cut_anywhere_gives_what_its_whole_lines_say(tmp_path_factory, share, torn):
    journal = Journal(tmp_path_factory.mktemp("cut"))
    one, two = task(journal, 1), task(journal, 2)
    states = [[], [one], [one, two], [replace(one, id="1"), two], [two]]
    path, sizes = journal.folder / JOURNAL, [0]
    for write in (lambda: journal.planned([one]), lambda: journal.planned([two]),
                  lambda: journal.submitted([replace(one, id="1")]), lambda: journal.ended(one)):  # fmt: skip
        write()
        sizes.append(path.stat().st_size)
    journal._file.close()
    cut = round(share * sizes[-1])
    path.write_bytes(path.read_bytes()[:cut] + torn)
    whole = max(i for i, size in enumerate(sizes) if size <= cut)
    only_its_end_is_cut = cut + 1 in sizes and not torn  # a line without its end of line is whole
    assert list(open_tasks(path)) == states[whole + only_its_end_is_cut]


def test_a_folder_goes_after_a_clean_end_and_stays_as_long_as_a_task_is_open(tmp_path, begin):
    root = tmp_path / "root"
    killed = begin(root)
    killed.planned([task(killed, 1), task(killed, 2)])
    dead(killed)
    for index in (1, 2):
        heir = begin(root)
        heir.ended(heir.left()[f"{index}.txt",])
        heir.close()
        assert not heir.folder.exists()
        assert killed.folder.exists() == (index == 1)
    assert not root.exists()


def test_strangers_in_the_folder_of_journals_are_left_alone(tmp_path, begin):
    (tmp_path / ".nfs0001").write_text("")
    (tmp_path / "stranger").mkdir()
    (tmp_path / f"{platform.node()}-notanumber-1").mkdir()
    assert begin().left() == {}
    assert (tmp_path / "stranger").exists() and not alive(tmp_path / "stranger")
