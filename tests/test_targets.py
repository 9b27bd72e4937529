"""Calibration targets and collections of scenes."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter, create_model

from radsens import instrument as instruments
from radsens.scenes import SceneSpec, render
from radsens.scenes.collection import joined
from radsens.schema import Fault, validated

SPEC = TypeAdapter(SceneSpec)
MODEL = create_model("Model", scene=(SceneSpec, ...))
PARASOL = instruments.load("parasol")


def target(pattern, bands=("670P",), **knobs):
    return list(render(SPEC.validate_python({"kind": "target", "pattern": pattern, **knobs}), PARASOL, bands))


def dolp(scene):
    return np.hypot(scene.stokes[1], scene.stokes[2]) / scene.stokes[0]


def image(scene, values):
    return values.reshape(scene.shape)


def test_a_flat_target_is_unpolarised_and_alike_in_all_bands():
    blue, red = target("flat", ("490P", "865P"), i=0.2)
    assert (blue.stokes == [[0.2], [0.0], [0.0]]).all() and (red.stokes == blue.stokes).all()
    assert blue.theta.size == 274 * 242


def test_a_rotating_target_is_fully_polarised_at_every_angle():
    (scene,) = target("rotating")
    angle = np.degrees(np.arctan2(scene.stokes[2], scene.stokes[1])) / 2
    assert dolp(scene) == pytest.approx(1, abs=1e-12)
    assert np.histogram(angle, bins=18, range=(-90, 90))[0] == pytest.approx(scene.theta.size / 18, rel=0.05)
    along_a_row = np.diff(image(scene, angle), axis=1)
    assert along_a_row[along_a_row > -90] == pytest.approx(180 / 242, rel=1e-9)


def test_a_ramp_rises_linearly_along_the_rows():
    (scene,) = target("ramp", i_low=0.1, i=0.5)
    rows = image(scene, scene.stokes[0])
    assert rows[0, 0] == pytest.approx(0.1) and rows[0, -1] == pytest.approx(0.5)
    assert np.diff(rows, axis=1) == pytest.approx(0.4 / 241, rel=1e-9)
    assert np.ptp(rows, axis=0).max() == 0


def test_an_edge_is_as_wide_as_the_point_spread_function_and_slanted():
    (scene,) = target("edge", i_low=0.1, i=0.5, blur=2.0)
    rows = image(scene, (scene.stokes[0] - 0.1) / 0.4)
    width = 1 / np.diff(rows, axis=0).max()
    assert width == pytest.approx(2.0 * np.sqrt(2 * np.pi), rel=0.02)
    crossing = (rows < 0.5).sum(0)
    assert (crossing[-1] - crossing[0]) / 241 == pytest.approx(np.tan(np.radians(5)), rel=0.05)
    assert scene.class_names == ("bright", "dark")
    assert ((scene.stokes[0] > 0.3) == (scene.scene_class == 0)).all()


def test_a_point_is_on_the_axis_and_holds_the_light_of_its_peak_times_its_area():
    (scene,) = target("point", i_low=0.01, i=1.0, blur=3.0, dolp=0.5, aolp=30)
    excess = scene.stokes[0] - 0.01
    assert excess.sum() == pytest.approx(0.99 * 2 * np.pi * 9, rel=1e-6)
    assert scene.theta[excess.argmax()] < 0.01
    assert dolp(scene) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("step", [1, 4, 64])
def test_the_peak_of_a_point_is_as_bright_as_asked_on_one_element_whatever_the_step(step):
    (scene,) = target("point", step=step)
    assert scene.stokes[0].max() == pytest.approx(0.3, rel=1e-12)
    assert (scene.stokes[0] > 0.29).sum() == (scene.scene_class == 0).sum() == 1


def test_a_ramp_that_falls_is_refused():
    with pytest.raises(Fault, match=r"scene.i_low: must be below i \(0.3\), got 0.4"):
        validated(MODEL, {"scene": {"kind": "target", "pattern": "ramp", "i_low": 0.4}})


def test_a_collection_appends_scenes_shares_detectors_and_keeps_samples_apart():
    members = [
        {"kind": "target", "pattern": "flat", "step": 4},
        {"kind": "target", "pattern": "edge", "step": 4},
        {"kind": "target", "pattern": "flat", "i": 0.7, "step": 4},
    ]
    (whole,) = render(SPEC.validate_python({"kind": "collection", "scenes": members}), PARASOL, ["670P"])
    (one,) = render(SPEC.validate_python(members[0]), PARASOL, ["670P"])
    n = one.theta.size
    assert whole.theta.size == 3 * n
    assert (whole.detector.reshape(3, n) == one.detector).all()
    assert np.unique(whole.sample).size == 3 * n
    assert whole.class_names == ("flat", "bright", "dark")
    assert (whole.scene_class[:n] == 0).all() and (whole.scene_class[2 * n :] == 0).all()
    assert (whole.view.reshape(3, n) == [[0], [1], [2]]).all()
    assert set(whole.stokes[0, 2 * n :]) == {0.7}


def test_a_collection_of_too_many_samples_is_refused():
    views = {"kind": "clear_ocean", "accuracy": "reduced", "acquisition": {"views": 1, "step": 60}}
    (scene,) = render(SPEC.validate_python(views), PARASOL, ["670P"])
    far = replace(scene, sample=scene.sample + 2**31)
    with pytest.raises(Fault, match=r"scene.scenes: .* at most 2\^32"):
        joined([far, far, far])
