"""One master on a campaign: what a dead one left is cleared, a living one is never disturbed, and signals arrive."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.operate_tools import SLOW, faulty, start, state, until
from tests.workflow_tools import BOTH, LINEARITY, SPANS, TIMEOUT, one_sentence

from radsens import record
from radsens.campaign import Campaign
from radsens.operate import master, snakemake
from radsens.schema import Fault


def lock(*paths):
    master.LOCKS.mkdir(parents=True, exist_ok=True)
    (master.LOCKS / "0.output.lock").write_text("\n".join(paths), encoding="utf-8")


def leave(campaign, **content):
    """The record of a master as this process would have left it."""
    about = {"started": record.now(), "folder": str(Path.cwd()), "profile": "profiles/local"}
    record.write(master.record_path(campaign), {**record.process(os.getpid()), **about, **content})


def test_a_profile_is_named_or_given_by_its_folder(ready):
    assert snakemake.profile_folder("local") == snakemake.profile_folder("profiles/local") == Path("profiles/local")


def test_targets_come_before_the_options_that_would_swallow_them(ready):
    words = snakemake.command(Path("a b.yaml"), Path("profiles/local"), ["x.nc"], ["--until", "realise"])
    assert words == ["snakemake", "x.nc", "--until", "realise", "--profile", "profiles/local", "--configfile", "a b.yaml"]


def test_an_unknown_profile_is_told_with_those_that_there_are(ready, refused):
    said = refused("run", "tiny.yaml", "--profile", "cray")
    assert said == "--profile: 'cray' is neither a profile nor a folder with a config.yaml; those in profiles/ are local"
    assert refused("rerun", "tiny.yaml", "--failed", "--profile", "cray") == said
    assert refused("plan", "tiny.yaml", "--profile", "cray") == said


def test_a_folder_without_the_workflow_is_told(ready, refused):
    Path("Snakefile").unlink()
    assert "there is no Snakefile here" in refused("run", "tiny.yaml")


def test_results_that_cannot_be_written_are_told_before_anything_runs(ready, refused):
    Path("results").touch()
    assert "results cannot be written there" in refused("run", "tiny.yaml")
    assert "results cannot be written there" in refused("rerun", "tiny.yaml", "--failed")


def test_a_processor_that_is_not_known_is_told_before_anything_runs(ready, refused, monkeypatch, capsys):
    """By the command, and by the Snakefile, which anybody may run."""
    monkeypatch.setenv("RADSENS_TARGET", "x86-64-v9")
    said = "RADSENS_TARGET: 'x86-64-v9' is not known; give native or x86-64-v3"
    assert refused("run", "tiny.yaml") == said
    with pytest.raises(SystemExit):
        Campaign.load(ready.config.model_dump(exclude_none=True))
    assert capsys.readouterr().err == f"radsens: {said}\n"


def test_a_master_that_lives_is_named_and_not_touched(ready, refused):
    leave(ready, started="2026-01-02T03:04:05+00:00")
    said = refused("run", "tiny.yaml")
    assert f"process {os.getpid()} on {os.uname().nodename} runs this campaign since 2026-01-02T03:04:05+00:00" in said
    assert refused("rerun", "tiny.yaml", "--failed") == said
    assert refused("prune", "tiny.yaml", "--yes") == said


def test_a_master_of_another_host_is_not_judged_from_here(ready, refused):
    leave(ready, host="elsewhere", pid=77)
    lock(ready.scene)
    said = refused("run", "tiny.yaml")
    assert "process 77 on elsewhere" in said and "ps -p 77" in said and "rm results/tiny/.run.json" in said


def test_a_lock_without_a_record_is_left_and_what_to_type_is_told(ready, refused):
    lock(ready.scene)
    said = refused("run", "tiny.yaml")
    assert said.endswith("type snakemake --profile profiles/local --configfile tiny.yaml --unlock")


def test_a_lock_that_another_campaign_shares_is_not_taken_away(ready, refused):
    leave(ready, process_began=1)
    lock(ready.scene, "results/other/scene/0123456789ab.nc")
    assert "locks other too" in refused("run", "tiny.yaml")


def test_a_lock_of_another_campaign_does_not_count(ready):
    lock("results/other/scene/0123456789ab.nc")
    assert master.locked() == {"other"}
    master.clear_lock(ready, Path("tiny.yaml"), Path("profiles/local"))
    assert (master.LOCKS / "0.output.lock").exists()


def test_of_two_masters_one_has_the_campaign_and_its_record_goes_with_it(ready):
    with master.mastered(ready, Path("profiles/local")) as started:
        held = record.read(master.record_path(ready))
        with pytest.raises(Fault, match="runs this campaign since"), master.mastered(ready, Path("profiles/local")):
            pass
        assert record.read(master.record_path(ready)) == held
        started(1)
        assert record.read(master.record_path(ready))["pid"] == 1
        assert [p.name for p in ready.root.iterdir()] == [master.NAME]
    assert not master.record_path(ready).exists()


def test_a_record_stays_with_the_lock_that_a_killed_snakemake_leaves(ready):
    with master.mastered(ready, Path("profiles/local")):
        lock(ready.scene)
    assert master.record_path(ready).exists()


@pytest.mark.parametrize(("words", "code"), [(["true"], 0), (["false"], 1), (["sh", "-c", "kill -KILL $$"], 137)])
def test_the_exit_code_is_that_of_the_command_which_is_printed_first(words, code, capsys):
    assert snakemake.foreground(words) == code
    assert capsys.readouterr().out.split()[0] == words[0]


WAITING = """
import sys
from radsens.operate import snakemake
raise SystemExit(snakemake.foreground([sys.executable, "-c", {child!r}], lambda _: print("started", flush=True)))
"""
CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(41))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print('up', flush=True)
time.sleep(900)
"""


@pytest.mark.parametrize(("number", "kill", "code"), [(signal.SIGINT, os.killpg, 41), (signal.SIGTERM, os.kill, 42)])
def test_ctrl_c_and_a_termination_reach_the_command_and_its_end_is_waited_for(number, kill, code):
    program = [sys.executable, "-c", WAITING.format(child=CHILD)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, start_new_session=True)
    awaited = {"up", "started"}  # the command has its handlers, and the one that started it knows whom to tell
    while awaited:
        line = process.stdout.readline()
        assert line, "it ended before a signal was sent"
        awaited -= {line.strip()}
    kill(process.pid, number)
    assert process.wait(TIMEOUT) == code
    process.stdout.close()


@pytest.mark.workflow
def test_a_run_is_the_plain_workflow_and_ends_with_what_to_type_next(desk):
    table = desk.table
    desk.chunk(BOTH).unlink()
    done = desk.radsens("run", "tiny.yaml", "--profile", "test", "--", "--cores", 2)
    assert done.code == 0, done.text
    assert done.out.splitlines()[0] == "snakemake --cores 2 --profile profiles/test --configfile tiny.yaml"
    assert done.spans == {(BOTH, SPANS[0]): 1}
    assert "complete" in done.out and done.out.splitlines()[-1] == "next: radsens table tiny.yaml"
    assert desk.table == table
    assert not (desk.results / master.NAME).exists()


@pytest.mark.workflow
def test_the_lock_of_a_killed_master_is_cleared_and_the_run_goes_on(desk, tmp_path):
    desk.chunk(BOTH).unlink()
    said, environment = tmp_path / "said.txt", faulty(desk, tmp_path / "site", f"{SLOW}:{BOTH}")
    words = ["radsens", "run", "tiny.yaml", "--profile", "test"]
    first = start(desk, said, *words, **environment)
    until(lambda: next(r for r in state(desk)["sources"] if r["source"] == BOTH)["running"], first, said)
    second = desk.radsens("run", "tiny.yaml", "--profile", "test")
    assert second.code == 2 and "runs this campaign since" in one_sentence(second.err)
    assert first.poll() is None
    os.kill(first.pid, signal.SIGKILL)  # Snakemake lives on, and is the master
    first.wait(TIMEOUT)
    third = desk.radsens("run", "tiny.yaml", "--profile", "test")
    assert third.code == 2 and "runs this campaign since" in one_sentence(third.err)
    assert record.read(desk.results / master.NAME)["pid"] != first.pid
    os.killpg(first.pid, signal.SIGKILL)
    until(lambda: state(desk)["master"] is None, None, said)
    assert list((desk.root / master.LOCKS).iterdir())
    found = state(desk)
    assert found["master"] is None
    assert found["failures"][0]["reason"].startswith("lost: ")
    done = desk.radsens("run", "tiny.yaml", "--profile", "test")
    assert done.code == 0, done.text
    assert "snakemake --profile profiles/test --configfile tiny.yaml --unlock" in done.out.splitlines()
    assert done.spans == {(BOTH, SPANS[0]): 1}
    assert state(desk)["complete"]


@pytest.mark.workflow
def test_ctrl_c_ends_the_workflow_and_leaves_no_lock(desk, tmp_path):
    desk.chunk(LINEARITY).unlink()
    said, environment = tmp_path / "said.txt", faulty(desk, tmp_path / "site", f"{SLOW}:{LINEARITY}")
    first = start(desk, said, "radsens", "run", "tiny.yaml", "--profile", "test", **environment)
    until(lambda: next(r for r in state(desk)["sources"] if r["source"] == LINEARITY)["running"], first, said)
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(TIMEOUT) not in (0, -signal.SIGINT)
    assert "next: radsens" in said.read_text(encoding="utf-8")
    assert not (desk.results / master.NAME).exists()
    done = desk.radsens("run", "tiny.yaml", "--profile", "test")
    assert done.code == 0 and "--unlock" not in done.out
