"""Drawings and images with error: what is drawn is the realisation that the campaign computes, pixel by pixel."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread
from tests.oracles import polarisation, wrapped
from typer.testing import CliRunner

from radsens import chunk, io
from radsens.campaign import Campaign
from radsens.cli import app
from radsens.config import parse
from radsens.gaps.quantities import QUANTITIES
from radsens.instrument import load
from radsens.products import images
from radsens.products.figures import SPACE, Layout, knobs, sequential, signed
from radsens.products.images import bands_of, write_image
from radsens.products.show import draw_scene
from radsens.schema import Fault, Scene
from radsens.sources import SOURCES

ANALYTIC = {"kind": "analytic", "step": 10}
UNIFORM = {"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 25, "pixels": 90}
GRID = {
    "kind": "grid",
    "i": {"start": 0.05, "stop": 0.4, "steps": 3},
    "dolp": {"start": 0, "stop": 0.8, "steps": 3},
    "aolp": {"start": 0, "stop": 90, "steps": 4},
}
SMALL = {
    "campaign": "small",
    "instrument": "parasol",
    "bands": ["490P", "565NP"],
    "scene": ANALYTIC,
    "strata": {"field": [0, 20, 40, 65], "dolp": [0, 0.05, 0.2, 0.4, 1]},
    "seed": 20041218,
    "realisations": 6,
    "sources": {
        "polariser_orientation": {"sigma": 0.1},
        "polariser_extinction": {"sigma": 0.25},
        "relative_transmission": {"sigma": 0.002},
        "hf_equalisation": {"sigma": 0.001, "correlation": 0.5},
        "radiometric_noise": {"snr": 200},
        "non_linearity": {"sigma": 0.01},
    },
}
SMALL["combined"] = {"all_sources": list(SMALL["sources"])}
MEASURED = {"measurement": {"noise": True, "quantisation": True, "saturation": True}, "error_in": "instrument"}
STATISTICS = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Campaign(parse(SMALL))


@pytest.fixture
def undrawn(monkeypatch):
    """Images without their PNG, which takes most of the time."""
    monkeypatch.setattr(images, "draw", lambda *arguments: b"")


def of(**changes):
    return Campaign(parse({**SMALL, **changes}))


def row_of(campaign, source, realisation):
    """The chunk of one realisation, computed amid others as a job of the workflow does."""
    chunk.write_scene(campaign.scene_spec, campaign.scene)
    last = campaign.realisations(source)
    return chunk.compute(campaign.task(source), campaign.scene, range(last)), realisation


def scene_at(detector):
    """A scene on 4 × 4 elements whose pixels differ."""
    pixels = np.arange(1.0, len(detector) + 1)
    stokes = np.array([pixels, 0.1 * pixels, 0 * pixels])
    places, none = np.array(detector), np.zeros(len(detector), int)
    return Scene("P1", stokes, pixels, pixels, pixels, places, places, none, none, ("all",), "ccd", (4, 4), {})


# --------------------------------------------------------------------------------------------- the campaign's own gaps


def assert_image_is_the_row(campaign, source, realisation):
    image = io.read(write_image(campaign, source, realisation, None, None)[0])
    rows, r = row_of(campaign, source, realisation)
    assert image.attributes["key"] == rows.attributes["key"]
    reported = 0
    for b, band in enumerate(map(str, image["band"])):
        c = list(rows["band"]).index(band)
        for q, name in enumerate(QUANTITIES):
            gap, n = image[f"{name}_gap"][b], rows["n"][r, c, 0, q]
            gap = gap[np.isfinite(gap)]
            assert gap.size == n
            # both sum some 700 numbers in float64, each in its own order: 700 eps of their size at most
            tolerance = 2e-13 * np.sqrt(np.mean(gap**2)) if n else 0
            for statistic, of_pixels in STATISTICS.items() if n else ():
                assert of_pixels(gap) == pytest.approx(rows[statistic][r, c, 0, q], rel=0, abs=tolerance)
                reported += 1
        for name in ("orientation", "efficiency", "relative_transmission", "non_linearity"):
            np.testing.assert_array_equal(image[name][b], rows[name][r, c])
    assert reported == 4 * np.count_nonzero(rows["n"][r, :, 0]) > 0


@pytest.mark.parametrize("source", [*SOURCES, "all_sources", "control"])
@pytest.mark.usefixtures("undrawn")
def test_statistics_of_the_image_are_the_row_of_that_realisation(campaign, source):
    assert_image_is_the_row(campaign, source, min(4, campaign.realisations(source) - 1))


@pytest.mark.parametrize(
    "changes",
    [
        MEASURED,
        {"precision": "float32"},
        {"scene": GRID, "strata": {}},
        {"scene": UNIFORM, "strata": {"aolp_min_dolp": 0.5}},
        {"instrument": "ideal", "bands": ["P1", "N1"]},
    ],
    ids=["measured", "float32", "grid", "uniform", "ideal"],
)
@pytest.mark.usefixtures("undrawn")
def test_statistics_of_the_image_are_the_row_in_any_campaign(campaign, changes):
    assert_image_is_the_row(of(**changes), "all_sources", 3)


@pytest.mark.usefixtures("undrawn")
def test_image_of_a_realisation_does_not_need_the_scene_file(campaign):
    rendered = io.read(write_image(campaign, "all_sources", 2, None, None)[0])
    chunk.write_scene(campaign.scene_spec, campaign.scene)
    read = io.read(write_image(campaign, "all_sources", 2, None, None)[0])
    assert rendered.attributes[io.DIGEST] == read.attributes[io.DIGEST]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.usefixtures("campaign")
def test_image_with_error_has_the_polarisation_of_its_own_stokes_vectors():
    """To the rounding of the precision of the campaign, here float64."""
    image = io.read(write_image(of(precision="float64"), "all_sources", 1, None, None)[0])
    for version in ("reference", "with_error"):
        stokes = np.array([image[f"{s}_{version}"][0] for s in "IQU"])
        p, chi = polarisation(stokes)
        np.testing.assert_allclose(image[f"dolp_{version}"][0], p, rtol=0, atol=1e-14)
        # the angle of a pixel with DoLP p carries the rounding of Q and U, 1e-15, over p
        turn = np.degrees(wrapped(np.radians(image[f"aolp_{version}"][0]) - chi))
        assert np.abs(turn * p).max() < 1e-12
    assert np.abs(image["aolp_with_error"][0]).max() <= 90
    ratio = image["I_with_error"] / image["I_reference"] - 1
    np.testing.assert_allclose(ratio, image["I_gap"], rtol=0, atol=1e-15)


@pytest.mark.usefixtures("undrawn")
def test_control_image_is_the_reference(campaign):
    image = io.read(write_image(campaign, "control", 0, None, None)[0])
    assert list(image["band"]) == ["490P", "565NP"]
    for name in QUANTITIES:
        assert np.nanmax(np.abs(image[f"{name}_gap"][0])) < 1e-12


@pytest.mark.usefixtures("undrawn")
def test_bands_without_polarisers_hold_the_intensity_alone_and_others_are_left_out(campaign):
    image = io.read(write_image(campaign, "non_linearity", 0, None, None)[0])
    assert np.isfinite(image["I_gap"]).all()
    assert np.isfinite(image["dolp_gap"][0]).all()
    for name in QUANTITIES[1:]:
        assert all(np.isnan(image[f"{name}_{v}"][1]).all() for v in ("reference", "with_error", "gap"))
    image = io.read(write_image(campaign, "polariser_orientation", 0, None, None)[0])
    assert list(image["band"]) == ["490P"]


@pytest.mark.usefixtures("undrawn")
def test_angles_have_no_gap_where_there_is_little_polarisation(campaign):
    image = io.read(write_image(campaign, "hf_equalisation", 0, None, None)[0])
    np.testing.assert_array_equal(np.isnan(image["aolp_gap"][0]), image["dolp_reference"][0] <= 0.02)
    assert np.isnan(image["aolp_gap"][0]).any()


# ------------------------------------------------------------------------------------------------------------ the file


@pytest.mark.usefixtures("undrawn")
def test_every_variable_says_what_it_is_and_in_which_unit(campaign):
    image = io.read(write_image(campaign, "all_sources", 5, None, None)[0])
    for name, variable in image.variables.items():
        assert variable.attributes["long_name"], name
        assert variable.values.dtype == object or variable.attributes["units"] in ("1", "degree", "count"), name
    about = image.attributes
    assert about["Conventions"] == "CF-1.11"
    assert (about["error_source"], about["realisation"], about["outcome"]) == ("all_sources", 5, "ok")
    assert json.loads(about["task"])["seed"] == SMALL["seed"]
    assert image["realisation"] == 5
    assert image["I_gap"].shape == (2, image["row"].size, image["column"].size) == (2, 27, 24)


@pytest.mark.usefixtures("undrawn")
def test_files_stand_in_the_campaign_or_where_they_are_asked_for(campaign, tmp_path):
    default = write_image(campaign, "control", 0, None, None)
    assert [str(p) for p in default] == [f"results/small/images/control-000000.{e}" for e in ("nc", "png")]
    asked = write_image(campaign, "control", 0, tmp_path / "new" / "here.nc", "565NP")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["here.nc", "here.png"]
    assert all(p.is_file() for p in asked)


def test_command_line_prints_where_the_files_are(campaign, tmp_path):
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL), encoding="utf-8")
    done = CliRunner().invoke(app, ["image", "control", "0", "--config", "small.yaml"], catch_exceptions=False)
    assert done.output.split() == ["results/small/images/control-000000.nc", "results/small/images/control-000000.png"]
    CliRunner().invoke(app, ["show", "small.yaml", "--output", "scene.png"], catch_exceptions=False)
    assert imread("scene.png").shape[1] > 1000


# -------------------------------------------------------------------------------------------------------- the drawings


def test_same_image_gives_the_same_bytes_whatever_the_style_of_the_user(campaign):
    first = write_image(campaign, "all_sources", 0, None, None)[1].read_bytes()
    with matplotlib.rc_context({"font.size": 30, "image.cmap": "jet", "savefig.dpi": 30}):
        assert write_image(campaign, "all_sources", 0, None, None)[1].read_bytes() == first
    assert write_image(campaign, "all_sources", 1, None, None)[1].read_bytes() != first


@pytest.mark.parametrize(("scene", "band"), [(ANALYTIC, "490P"), (UNIFORM, "490P"), (GRID, "490P"), (ANALYTIC, "565NP")])
def test_every_kind_of_scene_is_drawn(campaign, tmp_path, scene, band):
    drawn = of(scene=scene, strata={})
    draw_scene(drawn, tmp_path / "scene.png", band)
    paths = [tmp_path / "scene.png", write_image(drawn, "all_sources", 0, None, band)[1]]
    for path in paths:
        colours = imread(path)[..., :3].reshape(-1, 3)
        assert np.unique(colours, axis=0).shape[0] > 100
        assert not np.isnan(colours).any()


def test_pixels_stand_at_their_row_and_column():
    scene = scene_at([11, 9, 3, 1])
    layout = Layout.of(scene, 1.0)
    np.testing.assert_array_equal(layout.rows, [0, 2])
    np.testing.assert_array_equal(layout.columns, [1, 3])
    assert layout.dimensions == ("row", "column")
    np.testing.assert_array_equal(layout.place(scene.detector[None]), [[[1, 3], [9, 11]]])


def test_holes_of_an_image_have_no_value():
    layout = Layout.of(scene_at([0, 1, 4]), 1.0)
    np.testing.assert_array_equal(layout.place(np.array([1.0, 2.0, 3.0])), [[1, 2], [3, np.nan]])


@pytest.mark.parametrize("detector", [[0, 5, 10, 15], [0, 1, 0, 1]], ids=["sparse", "two views"])
def test_pixels_that_are_no_image_stay_a_list(detector):
    layout = Layout.of(scene_at(detector), 1.0)
    assert layout.dimensions == ("pixel",)
    np.testing.assert_array_equal(layout.place(np.arange(4.0)), np.arange(4))


def test_of_a_list_the_view_that_is_asked_for_is_drawn():
    scene = scene_at([0, 5, 10, 15])
    scene = replace(scene, view=np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(Layout.of(scene, 1.0, 1).image(np.arange(4.0)), [2, 3])


def test_a_scale_of_what_is_never_negative_does_not_begin_below_zero():
    assert sequential(np.zeros(5)).low == 0


def test_the_members_of_a_collection_are_told_in_the_words_of_their_knobs():
    members = ({"kind": "target", "step": 4}, {"kind": "desert"})
    assert knobs({"scenes": members}).replace(SPACE, " ") == "scenes (kind target, step 4); (kind desert)"


def test_colours_of_gaps_are_centred_and_reach_the_99th_percentile():
    gaps = np.append(np.linspace(-1, 3, 10001) * 1e-5, np.nan)
    scale = signed(gaps)
    assert scale.low == -scale.high
    assert scale.high * 10.0**scale.power == pytest.approx(np.nanquantile(np.abs(gaps), 0.99))
    assert (scale.power, scale.extend, scale.unit("deg"), scale.unit("1")) == (-6, "both", "10⁻⁶ deg", "10⁻⁶")


@pytest.mark.parametrize("values", [np.zeros(5), np.full(5, np.nan), np.full(5, 0.2)])
def test_colours_exist_for_values_without_spread(values):
    for scale in (signed(values), sequential(values)):
        assert np.isfinite([scale.low, scale.high]).all()
        assert scale.low < scale.high
        assert scale.power <= 0


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing", 0, None, None), "source: 'nothing' is not in the campaign"),
        (("control", 1, None, None), "realisation: must be below 1"),
        (("hf_equalisation", 6, None, None), "realisation: must be below 6"),
        (("polariser_orientation", 0, None, "565NP"), "--band: must be one where polariser_orientation acts: 490P"),
        (("control", 0, "image.txt", None), "--output: image.txt: give a name that ends in .nc"),
        (("control", 0, "file/image.nc", None), "file/image.nc: cannot be written"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_is_said_in_a_sentence_and_nothing_is_written(campaign, tmp_path, arguments, sentence):
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match=sentence):
        write_image(campaign, *arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_source_that_acts_nowhere_has_no_image():
    unpolarised = SimpleNamespace(config=SimpleNamespace(bands=("565NP",)), instrument=load("parasol"))
    source = SOURCES["polariser_orientation"]
    with pytest.raises(Fault, match="acts on none of the bands 565NP"):
        bands_of(unpolarised, source.name, [(source, source.Amplitudes(sigma=1))])


@pytest.mark.usefixtures("undrawn")
def test_realisation_that_failed_has_no_image_and_says_why(campaign, tmp_path):
    reckless = of(sources={"relative_transmission": {"sigma": 0.3}}, combined={}, error_in="instrument", realisations=2000)
    chunk.write_scene(reckless.scene_spec, reckless.scene)
    outcome = chunk.compute(reckless.task("relative_transmission"), reckless.scene, range(2000))["outcome"][:, 0]
    bad, good = int(np.flatnonzero(outcome)[0]), int(np.flatnonzero(outcome == 0)[0])
    with pytest.raises(Fault, match=rf"realisation: {bad} failed in band 490P \(unphysical transmission\)"):
        write_image(reckless, "relative_transmission", bad, None, None)
    assert not (tmp_path / "results/small/images").exists()
    assert write_image(reckless, "relative_transmission", good, None, None)[0].is_file()


@pytest.mark.parametrize(
    ("output", "band", "sentence"),
    [
        ("scene.pdf", None, "--output: scene.pdf: a scene is drawn to PNG"),
        ("file/scene.png", None, "file/scene.png: cannot be written"),
        ("scene.png", "443NP", "--band: '443NP' is not in the campaign; it has 490P, 565NP"),
    ],
)
def test_scene_that_cannot_be_drawn_is_a_sentence(campaign, tmp_path, output, band, sentence):
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match=sentence):
        draw_scene(campaign, Path(output), band)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
