"""What a campaign is made of: keys that hold all that a result depends on and nothing else, spans, paths."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.equation import with_detector
from tests.workflow_tools import BOTH, CHECKOUT, COMPILED, CONTROL, LINEARITY, ORIENTATION, TIMEOUT, TINY, changed

from radsens import chunk, config, kernel, provenance
from radsens.campaign import Campaign
from radsens.instrument import load
from radsens.realise import Task
from radsens.scenes import SCENES
from radsens.schema import Fault

ALL = {CONTROL, ORIENTATION, LINEARITY, BOTH}
SCENE, TABLES = "scene", "tables"
EVERYTHING = {SCENE, TABLES, *ALL}

# Files of the package by what an edit of them changes.
BOTH_KEYS = {"elementary.py", "instrument.py", "schema.py", "gaps/strata.py", "chunk.py"}
SCENE_CODE = {*BOTH_KEYS, "io.py", "scenes/files.py", "scenes/pixels.py", "scenes/uniform.py"}
EQUATION = {*BOTH_KEYS, *("realise.py", "tiles.py", "random.py", "kernel.py", "models/irm.py", "models/polarimeter.py")}
EQUATION |= {"models/pixels.py", "gaps/quantities.py", "gaps/statistics.py", "gaps/sums.py", "sources/_source.py"}
SOURCE_CODE = {f"sources/{LINEARITY}.py": {LINEARITY, BOTH}, f"sources/{ORIENTATION}.py": {ORIENTATION, BOTH}}
FILES = {str(path.relative_to(kernel.PACKAGE)) for path in kernel.PACKAGE.rglob("*.py")}
OUTSIDE = {file for file in FILES if file.startswith(("products/", "sources/"))} - {*EQUATION, *SOURCE_CODE}
OUTSIDE |= {"cli.py", "config.py", "campaign.py", "gather.py", "work.py", "scenes/grid.py", "scenes/analytic.py"}


def campaign(**knobs):
    return Campaign(config.parse(changed(**knobs)))


def depends(one, other):
    """What has another key, or another id, in one campaign than in the other."""
    found = {name for name in {*one.names} & {*other.names} if one.keys[name] != other.keys[name]}
    return found | ({SCENE} if one.scene_key != other.scene_key else set()) | ({TABLES} if one.id != other.id else set())


# ------------------------------------------------------------------------------------------------------- the settings
@pytest.mark.parametrize(
    "knobs",
    [
        {"sources": {name: TINY["sources"][name] for name in reversed(TINY["sources"])}},
        {"combined": {BOTH: TINY["combined"][BOTH][::-1]}},
        {"sources__non_linearity": {"calibrated_at": 0, "order": 2, "sigma": 0.01}},
        {"sources__non_linearity__sigma": "1e-2"},
        {"strata": {"field": (0.0, 30.0, 65.0), "scene_class": False}},
        {"measurement": {"noise": False}},
        {"span": 3},
    ],
    ids=str,
)
def test_what_is_no_setting_of_a_result_changes_no_key(knobs):
    """Order, defaults that are spelt out, how a number is written, how the realisations are cut into jobs."""
    assert depends(campaign(), campaign(**knobs)) == set()


def test_the_number_of_realisations_is_in_no_key_of_a_chunk():
    assert depends(campaign(), campaign(realisations=500)) == {TABLES}


def test_the_name_of_the_campaign_and_of_a_combination_are_in_no_key():
    assert campaign(campaign="other").keys == campaign().keys
    assert campaign(combined={"pair": TINY["combined"][BOTH]}).keys["pair"] == campaign().keys[BOTH]


DEPENDS = [
    ({"seed": 1}, {TABLES, *ALL}),
    ({"sampling": "sobol"}, {TABLES, *ALL}),
    ({"error_in": "instrument"}, {TABLES, *ALL}),
    ({"precision": "float64"}, {TABLES, *ALL}),
    ({"quantiles": False}, {TABLES, *ALL}),
    ({"measurement": {"quantisation": True}}, {TABLES, *ALL}),
    ({"instrument": "ideal", "bands": ["P1", "N1"]}, EVERYTHING),
    ({"bands": ["565NP", "490P"]}, EVERYTHING),
    ({"scene__aolp": 21}, EVERYTHING),
    ({"scene": {"kind": "analytic"}}, EVERYTHING),
    ({"strata__aolp_min_dolp": 0.03}, EVERYTHING),
    ({"sources__non_linearity__sigma": 0.02}, {TABLES, LINEARITY, BOTH}),
    ({"sources__non_linearity__order": 3}, {TABLES, LINEARITY, BOTH}),
    ({"sources__polariser_orientation__correlation": 0.1}, {TABLES, ORIENTATION, BOTH}),
    ({"sources__hf_equalisation": {"sigma": 0.001}}, {TABLES}),
    ({"combined": {}}, {TABLES}),
]


@pytest.mark.parametrize(("knobs", "expected"), DEPENDS, ids=lambda v: " ".join(sorted(v)) if isinstance(v, set) else str(v))
def test_a_setting_changes_the_keys_of_what_depends_on_it(knobs, expected):
    assert depends(campaign(), campaign(**knobs)) == expected


# ------------------------------------------------------------------------------------------------------------ the code
@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package that is looked at in place of the package itself."""
    folder = tmp_path_factory.mktemp("package") / "radsens"
    shutil.copytree(kernel.PACKAGE, folder, ignore=COMPILED)
    original = kernel.PACKAGE
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((kernel, "PACKAGE"), (provenance, "PACKAGE"), (provenance, "REGISTRY"), (provenance, "LAYOUT")):
            patch.setattr(module, name, folder / getattr(module, name).relative_to(original))
        provenance._imports.cache_clear()
        yield folder
    provenance._imports.cache_clear()


def test_the_same_settings_have_the_same_keys_whatever_the_process(package):
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(package.parent)}
        command = [sys.executable, "-c", "from tests.test_campaign import campaign; print(campaign().files)"]
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, check=True, capture_output=True, text=True, timeout=TIMEOUT)
        found.add(done.stdout)
    assert found == {f"{campaign().files}\n"}


def changed_by(package, file):
    """What has another key after an edit of a file."""
    before, path = campaign(), package / file
    assert before.keys, "computed before the edit"
    assert before.id
    content = path.read_text(encoding="utf-8")
    path.write_text(content + "# a comment\n", encoding="utf-8")
    found = depends(before, campaign())
    path.write_text(content, encoding="utf-8")
    assert depends(before, campaign()) == set(), "it was put back"
    return found


@pytest.mark.parametrize("file", sorted(SCENE_CODE))
def test_an_edit_of_what_makes_the_scene_changes_every_key(package, file):
    assert changed_by(package, file) == EVERYTHING


@pytest.mark.parametrize("file", sorted(EQUATION - SCENE_CODE))
def test_an_edit_of_the_equation_changes_the_key_of_every_chunk(package, file):
    assert changed_by(package, file) == {TABLES, *ALL}


@pytest.mark.parametrize(("file", "names"), SOURCE_CODE.items())
def test_an_edit_of_a_source_changes_its_key_and_that_of_what_holds_it(package, file, names):
    assert changed_by(package, file) == {TABLES, *names}


@pytest.mark.parametrize("file", sorted(OUTSIDE))
def test_an_edit_of_another_file_changes_no_key(package, file):
    """At most it makes the tables again."""
    assert changed_by(package, file) <= {TABLES}


def test_an_edit_of_the_tables_makes_them_again(package):
    assert changed_by(package, "products/tables.py") == {TABLES}


def test_an_import_in_a_function_counts(package):
    """A lazy import computes as well as one at the top."""
    path = package / "realise.py"
    content = path.read_text(encoding="utf-8")
    assert package / "scenes" / "grid.py" not in provenance.closure("radsens.realise")
    path.write_text(content + "\n\ndef lazy():\n    from radsens.scenes import grid\n", encoding="utf-8")
    provenance._imports.cache_clear()
    assert package / "scenes" / "grid.py" in provenance.closure("radsens.realise")
    path.write_text(content, encoding="utf-8")
    provenance._imports.cache_clear()


# ------------------------------------------------------------------------------------------------------ the instrument
def keys_with(instrument, bands=("490P", "565NP")):
    """Keys of the scene and of a task on another instrument of the same name."""
    one = campaign()
    scene = provenance.scene_key(one.scene_spec["scene"], one.scene_spec["strata"], instrument, bands)
    return scene, provenance.task_key(one.task(BOTH), scene, instrument, bands)


def test_a_band_that_the_campaign_does_not_use_is_in_no_key(parasol):
    more = parasol.bands[1].model_copy(update={"name": "555P"})
    other = parasol.band("670P").model_copy(update={"saturation": 3.0})
    bands = tuple(other if band.name == "670P" else band for band in parasol.bands)
    assert keys_with(parasol.model_copy(update={"bands": (more, *bands[::-1])})) == keys_with(parasol)


def test_a_number_of_a_band_that_it_uses_and_of_the_detector_are_in_each_key(parasol):
    known = keys_with(parasol)
    other = parasol.band("490P").model_copy(update={"saturation": 3.0})
    band = parasol.model_copy(update={"bands": tuple(other if band.name == "490P" else band for band in parasol.bands)})
    for instrument in (band, with_detector(parasol, dark=17.0)):
        assert all(one != new for one, new in zip(known, keys_with(instrument), strict=True))


def test_a_detector_of_bands_that_the_campaign_does_not_use_is_in_no_key(parasol):
    other = parasol.detectors[0].model_copy(update={"name": "swir", "bits": 10})
    band = parasol.band("670P").model_copy(update={"detector": "swir"})
    bands = tuple(band if b.name == "670P" else b for b in parasol.bands)
    two = parasol.model_copy(update={"detectors": (other, *parasol.detectors), "bands": bands})
    assert keys_with(two) == keys_with(parasol)
    assert keys_with(two, ("490P", "670P")) != keys_with(parasol, ("490P", "670P"))


def test_the_code_of_a_kind_of_scene_is_that_of_its_module_whatever_the_name_of_the_kind(parasol, monkeypatch):
    digested = []
    monkeypatch.setattr(provenance, "digest", lambda files: digested.append({str(f) for f in files}) or "0")
    monkeypatch.setitem(SCENES, "twin", SCENES["uniform"])
    for kind in ("uniform", "twin", "grid"):
        provenance.scene_key({"kind": kind}, {}, parasol, ("490P",))
    assert digested[0] == digested[1]
    assert digested[2] > digested[0]  # a grid is made of uniform patches


def test_where_a_number_comes_from_is_in_no_key(parasol):
    assert parasol.origins
    assert keys_with(parasol.model_copy(update={"origins": (), "title": "another title"})) == keys_with(parasol)


# ------------------------------------------------------------------------------------------------------- spans and paths
@given(st.integers(1, 100_000), st.integers(1, 1_000_000))
def test_spans_cover_each_realisation_once_and_are_cut_at_multiples(realisations, span):
    cuts = chunk.spans(realisations, min(span, realisations * 2) if realisations > 1000 else span)
    size = cuts[0].stop if len(cuts) > 1 else realisations
    assert cuts[0].start == 0
    assert cuts[-1].stop == realisations
    assert all(a.stop == b.start and len(a) == size for a, b in pairwise(cuts))
    assert 0 < len(cuts[-1]) <= size


@given(st.integers(0, 10_000_000), st.integers(1, 1_000_000))
def test_the_name_of_a_span_says_its_realisations(first, count):
    span = range(first, first + count)
    assert chunk.span_of(chunk.span_name(span)) == span


def test_a_name_without_chance_has_one_realisation():
    """The control, and an assumption: each realisation would be the same, unless the measurement itself is noisy."""
    sources = {"polariser_extinction": {"assume_ideal": True}, "radiometric_noise": {"snr": 200}}
    quiet = campaign(sources=sources, combined={BOTH: list(sources)})
    assert [quiet.realisations(name) for name in quiet.names] == [1, 1, 5, 5]
    noisy = campaign(sources=sources, combined={}, measurement={"noise": True})
    assert [noisy.realisations(name) for name in noisy.names] == [1, 5, 5]
    assert quiet.spans(CONTROL) == ["000000-000000"]


def test_each_path_is_inside_the_folder_of_the_campaign():
    one = campaign()
    paths = one.files
    assert len(set(paths)) == 1 + 10 + 4 + 5
    for path in map(Path, paths):
        assert path.parts[:2] == ("results", "tiny")
        assert ".." not in path.parts


def test_what_a_command_line_is_given_is_what_was_planned():
    one = campaign()
    for name in one.names:
        assert Task.model_validate_json(one.task_json(name)) == one.task(name)
    spec = chunk.SceneTask.model_validate_json(one.scene_json)
    assert (spec.instrument, spec.bands, spec.scene, spec.strata) == (
        one.config.instrument,
        one.config.bands,
        one.config.scene,
        one.config.strata,
    )


def test_kernels_are_compiled_again_for_another_precision_and_not_for_other_amplitudes():
    one = campaign(precision="float64")
    assert campaign(precision="float64", sources__non_linearity__sigma=0.02, seed=1).warm == one.warm
    assert campaign(precision="float32").warm != one.warm


def test_a_name_that_the_campaign_lacks_is_refused():
    with pytest.raises(Fault, match="source: 'stray_light' is not in the campaign; it has control, polariser_orientation, "):
        campaign().task("stray_light")


def test_a_chunk_that_stands_waits_for_no_lost_file_and_a_missing_one_for_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, span = campaign(), "000000-000001"
    needed = [one.scene, one.warm, *one.chunks(CONTROL)]
    assert one.awaited(BOTH, span) == needed
    assert one.awaited(CONTROL, "000000-000000") == [one.scene, one.warm]
    path = Path(one.chunks(BOTH)[0])
    path.parent.mkdir(parents=True)
    path.touch()
    assert one.awaited(BOTH, span) == []
    Path(one.scene).parent.mkdir()
    Path(one.scene).touch()
    assert one.awaited(BOTH, span) == [one.scene]


def test_tables_are_stale_without_the_mark_of_the_campaign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = campaign()
    assert not one.stale, "nothing stands"
    for path in map(Path, one.tables):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert not one.stale
    assert campaign(seed=1).stale
    Path(one.mark).unlink()
    assert one.stale


def test_the_instrument_of_a_campaign_is_the_one_that_is_shipped():
    assert campaign().instrument == load("parasol")
