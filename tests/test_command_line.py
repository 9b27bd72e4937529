"""The commands that the rules run, on bad input, and the Snakefile's own checks: one sentence, exit code 2, nothing written."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from netCDF4 import Dataset
from tests.workflow_tools import CHECKOUT, PACKAGE, TINY, changed, lay, one_sentence

from radsens import io
from radsens.cli import app, run

NAME = "must be letters, digits, _ and - alone, not beginning with -"
TASK = {
    "instrument": "parasol",
    "seed": 1,
    "error_in": "knowledge",
    "precision": "float64",
    "measurement": {},
    "sources": {"non_linearity": {"sigma": 0.01}},
}
SPEC = {"instrument": "parasol", "bands": ["490P"], "scene": TINY["scene"], "strata": {}}
SPAN = "000000-000001"


@pytest.fixture
def scene(here):
    """A scene file beside the campaign's YAML."""
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    assert run(lambda: app(["scene", "tiny.yaml", "--output", "scene.nc"])) == 0
    return Path("scene.nc")


BAD_TASKS = [
    ("{", "--task: not valid JSON: Expecting property name"),
    ("{}", "instrument: must be given (and 5 more)"),
    (json.dumps({**TASK, "seed": -1}), "seed: must be ≥ 0, got -1"),
    (
        json.dumps({**TASK, "instrument": "polder9"}),
        "instrument: there is no 'polder9'; those shipped are 3mi, dpc, ideal, parasol",
    ),
    (json.dumps({**TASK, "sources": {"stray_light": {}}}), "sources.stray_light: there is no such source; those known are "),
    (json.dumps({**TASK, "sources": {"non_linearity": {"sigma": -1}}}), "sources.non_linearity.sigma: must be ≥ 0.0, got -1"),
    (
        json.dumps({**TASK, "sources": {"non_linearity": {"snr": 1}}}),
        "sources.non_linearity.snr: unknown key, got 1; allowed are sigma",
    ),
]


@pytest.mark.parametrize(("task", "said"), BAD_TASKS, ids=[said for _, said in BAD_TASKS])
def test_a_bad_task_is_told_in_one_sentence(scene, refused, task, said):
    assert refused("realise", "x", SPAN, "--task", task, "--scene", scene, "--output", "x.nc").startswith(said)


BAD_SPECS = [
    ("{", "SPEC: not valid JSON: Expecting property name"),
    ("{}", "instrument: must be given (and 3 more)"),
    (json.dumps({**SPEC, "bands": ["555P"]}), "bands: parasol has no band '555P'; it has "),
    (json.dumps({**SPEC, "scene": {**TINY["scene"], "i": 0}}), "scene.i: must be > 0.0, got 0"),
    (json.dumps({**SPEC, "strata": {"field": [64, 65]}}), "strata.field: no pixel of the scene is in field:64-65deg in any band"),
]


@pytest.mark.parametrize(("spec", "said"), BAD_SPECS, ids=[said for _, said in BAD_SPECS])
def test_a_bad_scene_specification_is_told_in_one_sentence(refused, spec, said):
    assert refused("scene", spec, "--output", "x.nc").startswith(said)


@pytest.mark.parametrize("span", ["0-1", "000002-000001", "000000", "x", "000000-000001-000002", "-00001-000002"])
def test_a_bad_span_is_told_in_one_sentence(scene, refused, span):
    said = refused("realise", "--task", "tiny.yaml", "--scene", scene, "--output", "x.nc", "--", "non_linearity", span)
    assert said == f"span: must be FIRST-LAST with six digits each, inclusive, as 000000-000049; got '{span}'"


def test_a_source_that_the_campaign_lacks_is_told_in_one_sentence(scene, refused):
    said = refused("realise", "stray_light", SPAN, "--task", "tiny.yaml", "--scene", scene, "--output", "x.nc")
    assert said.startswith("source: 'stray_light' is not in the campaign; it has control, polariser_orientation, ")


def test_a_key_that_the_code_and_the_settings_do_not_give_is_refused(scene, refused):
    planned = "key: 0123456789ab was planned, but the code"
    key = ["--key", "0123456789ab", "--output", "x.nc"]
    assert refused("scene", "tiny.yaml", *key).startswith(planned)
    assert refused("realise", "non_linearity", SPAN, "--task", "tiny.yaml", "--scene", scene, *key).startswith(planned)


def _other_netcdf(path):
    with Dataset(path, "w") as dataset:
        dataset.createDimension("x", 1)


def _flipped(path):
    content, stokes = bytearray(path.read_bytes()), io.read(path)["stokes_490P"].tobytes()
    content[content.index(stokes) + 5] ^= 1
    path.write_bytes(content)


BAD_SCENES = {
    "missing": (Path.unlink, "there is no such file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable netCDF file"),
    "not netCDF": (lambda path: path.write_text("campaign: tiny\n"), "not a readable netCDF file"),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size // 2), "not a readable netCDF file"),
    "another netCDF": (_other_netcdf, "not a file that radsens wrote (it has no results_sha256)"),
    "another result": (lambda path: io.write(path, io.File({}, {})), "not a scene: it has no band or no class_name"),
    "a flipped bit": (_flipped, "damaged: its data do not have the digest that was written with them"),
}


@pytest.mark.parametrize(("spoil", "said"), BAD_SCENES.values(), ids=BAD_SCENES)
def test_a_bad_scene_file_is_told_in_one_sentence(scene, refused, spoil, said):
    spoil(scene)
    words = ["realise", "non_linearity", SPAN, "--task", "tiny.yaml", "--scene", scene, "--output", "x.nc"]
    assert refused(*words).startswith(f"scene.nc: {said}")


def test_a_table_that_was_not_made_is_told_in_one_sentence(scene, refused):
    assert refused("table", "tiny.yaml").startswith("results/tiny/sensitivity.csv: not made yet; run snakemake ")


def test_a_table_that_lost_a_part_is_told_in_one_sentence(scene, refused):
    for name in ("sensitivity.csv", "control.csv", "strata.csv"):
        path = Path("results/tiny") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert refused("table", "tiny.yaml").startswith("results/tiny/campaign.json: not made yet; run snakemake ")


def test_a_file_that_the_system_cannot_open_is_not_set_aside(scene, refused, monkeypatch):
    """Too many open files, or no right to read: the chunk may be good, and computing it again costs hours."""
    folder = Path("chunks/0123456789ab")
    folder.mkdir(parents=True)
    shutil.copy(scene, folder / "000000-000001.nc")

    def no_more_files(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(io, "Dataset", no_more_files)
    said = refused("gather", folder, "--realisations", 2, "--span", 2, "--output", "x.nc")
    assert said == f"{folder}/000000-000001.nc: not a readable netCDF file (Too many open files)"


def test_a_chunk_of_another_key_is_refused_and_stays(scene, refused):
    folder = Path("chunks/0123456789ab")
    folder.mkdir(parents=True)
    shutil.copy(scene, folder / "000000-000001.nc")
    said = refused("gather", folder, "--realisations", 2, "--span", 2, "--output", "x.nc")
    assert said.startswith(f"{folder}/000000-000001.nc: holds the key ")
    assert "not 0123456789ab of its folder; take it away, and the next run makes it" in said


def test_chunks_that_are_not_there_are_told_in_one_sentence(here, refused):
    said = refused("gather", "chunks/0123456789ab", "--realisations", 5, "--span", 2, "--output", "x.nc")
    assert said == "chunks/0123456789ab/000000-000001.nc: there is no such file (and 2 more)"


@pytest.mark.parametrize(
    "words", [["realise"], ["check"], ["no_such_verb"], ["gather", "x", "--realisations", "0"], ["--colour"]]
)
def test_a_wrong_use_of_the_command_line_ends_with_2_too(here, capsys, words):
    assert run(lambda: app(words)) == 2
    assert "Traceback" not in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ the real command, Snakemake
@pytest.fixture
def desk(tmp_path):
    """A checkout on the package as it is; no kernel runs here."""
    return lay(tmp_path / "a desk", PACKAGE.parent, tmp_path / "cache")


def test_the_command_itself_says_one_sentence_and_ends_with_2(desk):
    desk.write(realisations=0)
    done = desk.radsens("--log", "a/log", "check", "tiny.yaml")
    assert (done.code, done.out) == (2, "")
    assert one_sentence(done.err) == "radsens: realisations: must be ≥ 1, got 0"
    assert (desk.root / "a" / "log").read_text(encoding="utf-8") == done.err


BAD_FOR_SNAKEMAKE = {
    "a bad knob": (yaml.safe_dump(changed(seed=-1)), "radsens: seed: must be ≥ 0, got -1"),
    "a key twice": (yaml.safe_dump(TINY) + "seed: 1\n", "the key 'seed' is given twice"),
    "an unsafe name": (yaml.safe_dump(changed(campaign=";rm")), f"radsens: campaign: {NAME}, got ';rm'"),
}


@pytest.mark.workflow
@pytest.mark.parametrize("words", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize(("text", "said"), BAD_FOR_SNAKEMAKE.values(), ids=BAD_FOR_SNAKEMAKE)
def test_the_snakefile_refuses_bad_input_before_any_job(desk, text, said, words):
    (desk.root / "tiny.yaml").write_text(text, encoding="utf-8")
    done = desk.snakemake(*words)
    assert done.code == 2
    assert said in one_sentence(done.err)
    assert not done.out
    assert not (desk.root / "results").exists()


@pytest.mark.workflow
def test_the_snakefile_asks_for_a_campaign(desk):
    done = desk.command("snakemake", "--profile", "profiles/local")
    assert done.code == 2
    assert one_sentence(done.err).startswith("radsens: campaign: give a campaign's YAML, as --configfile config/test.yaml")


@pytest.mark.parametrize("path", sorted((CHECKOUT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_each_shipped_campaign_is_good(here, path):
    assert run(lambda: app(["check", str(path)])) == 0
