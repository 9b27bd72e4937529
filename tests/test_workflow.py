"""The contract of incremental work, each line with the real Snakemake: what a change makes run again, and what nothing does."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.workflow_tools import BOTH, CONTROL, EVERYTHING, LINEARITY, NAME, ORIENTATION, SAID, SPANS, TINY, Run

from radsens import io

pytestmark = pytest.mark.workflow

# The gap without any error is rounding: a few hundred operations of 1.1e-16 each, relative, stay below 1e-12 in I, Q, U
# and DoLP; an angle is ½ atan2(U, Q), so that its rounding in degrees is 90/π of that over the DoLP, 0.3 here.
CONTROL_ROUNDING = {"1": 1e-12, "deg": 1e-10}

COMMENT = "\n# a comment\n"


def times(count, *sources):
    return {source: count for source in sources}


def rows(path):
    return io.read(path).variables


def test_a_first_run_makes_each_file_once_and_a_second_run_nothing(finished):
    said = Run(0, (finished.root.parent / SAID).read_text(encoding="utf-8"), "")
    assert said.rules == {"scene": 1, "warm": 1, "realise": 10, "gather": 4, "table": 1}
    assert said.spans == EVERYTHING
    assert finished.plan().nothing


def test_one_job_compiles_all_that_the_others_call(finished):
    """Nothing was compiled after it, until the workflow had ended, but what draws an image, which the workflow does not."""
    (mark,) = (finished.results / "warm").iterdir()
    codes = list(Path(mark.read_text(encoding="utf-8").strip().rpartition(": ")[2]).rglob("*.nbc"))
    began, ended = (path.stat().st_mtime for path in (mark, finished.root.parent / SAID))  # others use these kernels later
    late = {path.name.partition("-")[0] for path in codes if began < path.stat().st_mtime < ended}
    assert {path.name.partition("-")[0] for path in codes} >= {"realise.span_pass"}
    assert late <= {"realise.tiles_pass"}


def test_the_control_row_of_a_campaign_is_rounding(finished):
    lines = [line.split(",") for line in (finished.results / "control.csv").read_text(encoding="utf-8").splitlines()]
    head, found = lines[0], lines[1:]
    assert head == ["band", "quantity", "unit", "max_abs_gap"]
    assert [(band, q) for band, q, *_ in found] == [("490P", q) for q in ("I", "Q", "U", "dolp", "aolp")] + [("565NP", "I")]
    for _, _, unit, gap in found:
        assert float(gap) <= CONTROL_ROUNDING[unit]


def test_raising_the_realisations_runs_the_new_spans_and_the_short_last_one(desk):
    before = {name: rows(next((desk.results / "gaps" / name).iterdir())) for name in (ORIENTATION, BOTH)}
    desk.write(realisations=7)
    done = desk.run()
    assert done.spans == {(n, s): 1 for n in (ORIENTATION, LINEARITY, BOTH) for s in ("000004-000005", "000006-000006")}
    assert done.rules == {"realise": 6, "gather": 3, "table": 1}
    for name, old in before.items():
        new = rows(next((desk.results / "gaps" / name).glob("*-7.nc")))
        assert list(new["realisation"].values) == list(range(7))
        for v in ("n", "mean", "std", "min", "max", "outcome", "orientation"):
            np.testing.assert_array_equal(new[v].values[:5], old[v].values)
    assert desk.plan().nothing


def test_lowering_the_realisations_again_makes_the_table_alone(desk):
    table = desk.table
    desk.write(realisations=4)
    done = desk.run()
    assert done.rules == {"gather": 3, "table": 1}
    assert desk.table != table
    desk.write()
    assert desk.run().rules == {"table": 1}
    assert desk.table == table


def test_another_amplitude_runs_its_source_and_what_holds_it_and_the_way_back_runs_the_table_alone(desk):
    table, identity = desk.table, desk.summary["id"]
    desk.amplitude(non_linearity=0.02)
    assert desk.says_stale
    done = desk.run()
    assert done.sources == times(3, LINEARITY, BOTH)
    assert done.rules == {"realise": 6, "gather": 2, "table": 1}
    assert desk.table != table
    assert not desk.says_stale
    desk.write()
    assert desk.says_stale
    shutil.rmtree(desk.root / ".snakemake")
    assert desk.run().rules == {"table": 1}
    assert desk.table == table
    assert desk.summary["id"] == identity
    assert desk.plan().nothing


def test_another_source_runs_alone_and_without_it_the_table_alone(desk):
    desk.write(sources={**TINY["sources"], "radiometric_noise": {"snr": 200}})
    assert desk.plan().sources == times(3, "radiometric_noise")
    desk.write(sources={ORIENTATION: {"sigma": 0.1}}, combined={})
    assert desk.plan().rules == {"table": 1}


def test_an_edited_source_runs_with_what_holds_it_and_the_way_back_runs_the_table_alone(editable):
    table = editable.table
    path = editable.edit(f"sources/{LINEARITY}.py", COMMENT)
    done = editable.run()
    assert done.sources == times(3, LINEARITY, BOTH)
    assert editable.table == table  # a comment changes no number
    path.write_text(path.read_text(encoding="utf-8").removesuffix(COMMENT), encoding="utf-8")
    assert editable.run().rules == {"table": 1}
    assert editable.table == table


@pytest.mark.parametrize("file", ["models/polarimeter.py", "chunk.py"])
def test_an_edit_of_the_equation_runs_everything(editable, file):
    editable.edit(file, COMMENT)
    assert editable.plan().spans == EVERYTHING


def test_an_edit_outside_the_equation_runs_nothing_and_one_behind_the_tables_the_table_alone(editable):
    for file in ("cli.py", "campaign.py", "products/screen.py", "sources/radiometric_noise.py"):
        editable.edit(file, COMMENT)
    assert editable.plan().nothing
    for file in ("config.py", "products/tables.py"):
        editable.edit(file, COMMENT)
    assert editable.plan().rules == {"table": 1}


@pytest.mark.parametrize("knobs", [{"seed": 7}, {"measurement": {"quantisation": True}}], ids=str)
def test_a_knob_of_all_sources_runs_everything(desk, knobs):
    desk.write(**knobs)
    assert desk.plan().spans == EVERYTHING


@pytest.mark.parametrize("knobs", [{"scene": {**TINY["scene"], "aolp": 21}}, {"strata": {"field": [0, 65]}}], ids=str)
def test_another_scene_or_other_strata_run_everything_and_the_scene(desk, knobs):
    desk.write(**knobs)
    planned = desk.plan()
    assert planned.spans == EVERYTHING
    assert planned.rules["scene"] == 1


def _edited_number(desk, band, old, new):
    """Change a line of one band in the instrument's file."""
    path = desk.source / "radsens" / "instruments" / "parasol.yaml"
    head, band_line, tail = path.read_text(encoding="utf-8").partition(f"- name: {band}\n")
    assert band_line
    assert old in tail
    path.write_text(head + band_line + tail.replace(old, new, 1), encoding="utf-8")


def test_another_number_of_the_instrument_runs_everything(editable):
    _edited_number(editable, "490P", "saturation: {value: ", "saturation: {value: 1")
    assert editable.plan().spans == EVERYTHING


def test_another_number_of_a_band_that_is_not_analysed_runs_nothing(editable):
    _edited_number(editable, "670P", "saturation: {value: ", "saturation: {value: 1")
    assert editable.plan().nothing


def test_a_deleted_chunk_is_recomputed_alone_and_is_the_same(desk):
    chunk, table = desk.chunk(BOTH, SPANS[1]), desk.table
    digest = io.read(chunk).attributes[io.DIGEST]
    chunk.unlink()
    assert desk.run().spans == {(BOTH, SPANS[1]): 1}
    assert io.read(chunk).attributes[io.DIGEST] == digest
    assert desk.table == table
    assert desk.plan().nothing


def test_a_deleted_control_is_recomputed_alone(desk):
    desk.chunk(CONTROL, "000000-000000").unlink()
    assert desk.plan().spans == {(CONTROL, "000000-000000"): 1}


def test_a_deleted_scene_is_made_again_and_no_chunk_that_stands(desk):
    (scene,) = (desk.results / "scene").iterdir()
    scene.unlink()
    assert desk.plan().rules == {"scene": 1}
    desk.chunk(BOTH).unlink()
    done = desk.run()
    assert done.spans == {(BOTH, SPANS[0]): 1}
    assert done.rules["scene"] == 1


def test_deleted_rows_are_gathered_again_alone(desk):
    shutil.rmtree(desk.results / "gaps" / BOTH)
    assert desk.plan().rules == {"gather": 1, "table": 1}


@pytest.mark.parametrize("name", ["sensitivity.csv", "control.csv", "strata.csv", "campaign.json"])
def test_a_deleted_table_is_made_again_alone(desk, name):
    (desk.results / name).unlink()
    assert desk.plan().rules == {"table": 1}


def _touched(desk):
    """Give every file a time of its own, in no order."""
    clock = random.Random(1)
    for path in [p for p in desk.root.rglob("*") if p.is_file()]:
        when = 1.7e9 + clock.uniform(0, 1e6)
        os.utime(path, (when, when))
    return desk


def _copied(desk):
    return desk.copy(desk.root.with_name("a copy"), copy_function=shutil.copy)


def _lost(desk):
    shutil.rmtree(desk.root / ".snakemake")
    return desk


@pytest.mark.parametrize(
    "disturb",
    [_touched, _copied, _lost, lambda desk: _lost(_touched(desk))],
    ids=["touch", "copy", "lost records", "both"],
)
def test_touch_copy_and_lost_records_run_nothing(desk, disturb):
    there = disturb(desk)
    assert there.plan().nothing
    there.chunk(LINEARITY, SPANS[2]).unlink()
    assert there.plan().spans == {(LINEARITY, SPANS[2]): 1}


@pytest.mark.parametrize(
    "words",
    [
        ["--profile", "profiles/local"],
        [
            "--profile",
            "profiles/test",
            "--set-resources",
            "realise:mem_mb=9000",
            "--set-threads",
            "realise=2",
            "--retries",
            "3",
        ],
        ["--cores", "1"],
    ],
    ids=["profiles/local", "resources", "no profile"],
)
def test_another_profile_or_other_resources_run_nothing(desk, words):
    assert desk.command("snakemake", "--dry-run", "--configfile", "tiny.yaml", *words).nothing


def test_a_campaign_written_otherwise_runs_nothing(desk):
    """Comments, the order of knobs and sources, and a default that is spelt out are not settings."""
    tree = {k: TINY[k] for k in reversed(TINY)}
    tree["sources"] = {
        LINEARITY: {"sigma": "1e-2", "order": 2},
        ORIENTATION: {"sigma": 0.1, "correlation": 0, "distribution": "normal"},
    }
    path = desk.write({**tree, "error_in": "knowledge", "span": 2})
    path.write_text("# a comment\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert desk.plan().nothing


def test_a_table_whose_mark_is_lost_is_not_taken_for_fresh(desk):
    shutil.rmtree(desk.results / ".tables")
    assert desk.says_stale
    assert desk.plan().rules == {"table": 1}


def test_spans_of_another_length_give_the_same_table_to_the_byte(finished, fresh):
    fresh.write(span=6)
    done = fresh.run()
    assert done.spans == {(n, "000000-000004"): 1 for n in (ORIENTATION, LINEARITY, BOTH)} | {(CONTROL, "000000-000000"): 1}
    assert fresh.table == finished.table
    assert fresh.summary["id"] == finished.summary["id"]
    for gaps in (finished.results / "gaps").glob("*/*.nc"):
        twin = io.read(fresh.results / gaps.relative_to(finished.results))
        assert twin.attributes[io.DIGEST] == io.read(gaps).attributes[io.DIGEST]


def test_each_command_that_snakemake_prints_gives_the_same_file_when_pasted_into_a_shell(finished, fresh):
    planned = fresh.plan("--printshellcmds", "--quiet", "host")
    commands = [
        line.removeprefix("Shell command: ") for line in planned.text.splitlines() if line.startswith("Shell command: radsens")
    ]
    order = ["scene", "warm", "realise control", "realise", "gather", "table"]
    commands.sort(key=lambda line: max(k for k, word in enumerate(order) if f".log {word} " in line))
    assert len(commands) == 17
    pasted = fresh.command("bash", "-euc", "\n".join(commands))
    assert (pasted.code, pasted.text) == (0, "")
    for made in finished.results.rglob("*.nc"):
        twin = io.read(fresh.root / "results" / NAME / made.relative_to(finished.results))
        assert twin.attributes[io.DIGEST] == io.read(made).attributes[io.DIGEST]
    for name in ("sensitivity.csv", "control.csv", "strata.csv", "campaign.json"):
        assert (fresh.results / name).read_bytes() == (finished.results / name).read_bytes()
    assert fresh.plan().nothing


def test_the_linter_of_snakemake_has_nothing_to_say(finished):
    done = finished.command("snakemake", "--lint", "--configfile", "tiny.yaml")
    assert done.code == 0
    assert "good condition" in done.text
