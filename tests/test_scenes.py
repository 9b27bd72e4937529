"""Every kind of scene comes through one door, with the bits and the bounds that it promises."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tests.oracles import polarisation, wrapped

from radsens.instrument import DEGREE, Polarimeter, load
from radsens.scenes import SCENES, SceneSpec, render
from radsens.scenes.analytic import Analytic
from radsens.scenes.grid import Grid
from radsens.scenes.uniform import Uniform
from radsens.schema import Fault, Scene

PARASOL, IDEAL = load("parasol"), load("ideal")
UNIFORM = {"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 25, "pixels": 500}
GRID = {
    "kind": "grid",
    "i": {"start": 0.05, "stop": 0.4, "steps": 3},
    "dolp": {"start": 0, "stop": 1, "steps": 5},
    "aolp": {"start": 0, "stop": 180, "steps": 7},
}


def spec_of(knobs: dict):
    return TypeAdapter(SceneSpec).validate_python(knobs)


def seen(knobs: dict, instrument: Polarimeter, band: str) -> Scene:
    """The scene as one band sees it."""
    (scene,) = render(spec_of(knobs), instrument, [band])
    return scene


# ------------------------------------------------------------------------------------------------------------ registry


def test_every_kind_is_in_the_registry_and_in_the_union():
    kinds = {member.model_fields["kind"].annotation: member for member in get_args(get_args(SceneSpec)[0])}
    assert {name for kind in kinds for name in get_args(kind)} == set(SCENES)


@pytest.mark.parametrize("spec", [Uniform, Grid, Analytic])
def test_every_key_of_a_scene_is_described_with_its_unit_and_bounded(spec):
    for name, knob in TypeAdapter(spec).json_schema()["properties"].items():
        assert knob["description"], name
        if knob.get("type") in ("number", "integer"):
            assert knob["description"].endswith("]"), name
            assert {"minimum", "exclusiveMinimum"} & set(knob), name


def test_scenes_need_no_heavy_library():
    code = "import sys, radsens.scenes; print([m for m in ('numba', 'matplotlib', 'pandas', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.strip() == "[]"


def environment(**more: str) -> dict[str, str]:
    """Environment in which a child process finds the package under test."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **more}


# ----------------------------------------------------------------------------------------------------- uniform and grid


def test_uniform_scene_is_exactly_what_was_asked():
    scenes = list(render(spec_of(UNIFORM), IDEAL, ["P1", "N1"]))
    assert [scene.band for scene in scenes] == ["P1", "N1"]
    for scene in scenes:
        assert scene.stokes.shape == (3, 500)
        assert (scene.stokes[0] == 0.2).all()
        dolp, aolp = polarisation(scene.stokes)
        assert dolp == pytest.approx(0.3, rel=1e-15)
        assert np.degrees(aolp) == pytest.approx(25, rel=1e-14)


@given(st.floats(1e-6, 100), st.floats(0, 1), st.floats(-180, 180))
def test_any_uniform_state_comes_back(i, dolp, aolp):
    stokes = seen({"kind": "uniform", "i": i, "dolp": dolp, "aolp": aolp, "pixels": 1}, IDEAL, "P1").stokes[:, 0]
    measured, angle = polarisation(stokes)
    assert stokes[0] == i
    assert measured == pytest.approx(dolp, rel=4e-16, abs=1e-300)
    if dolp > 1e-6:
        assert wrapped(angle - aolp * DEGREE) == pytest.approx(0, abs=2e-15)


def test_uniform_scene_samples_the_whole_field():
    scene = seen(UNIFORM, PARASOL, "490P")
    x, y, theta = PARASOL.detector("490P").focal_plane.coordinates(scene.detector)
    assert (scene.x == x).all()
    assert (scene.y == y).all()
    assert (scene.theta == theta).all()
    assert len(set(scene.detector.tolist())) == 500
    assert np.degrees(theta.min()) < 3
    assert np.degrees(theta.max()) > 53
    assert (scene.sample == scene.detector).all()
    assert (scene.view == 0).all()
    assert (scene.plane, scene.shape) == ("ccd", (274, 242))
    assert scene.class_names == ("uniform",)
    assert (scene.scene_class == 0).all()


def test_grid_holds_every_combination_as_often_as_asked():
    scene = seen({**GRID, "pixels": 4}, IDEAL, "P1")
    assert scene.stokes.shape == (3, 3 * 5 * 7 * 4)
    dolp, aolp = polarisation(scene.stokes)
    nodes = np.stack([scene.stokes[0], dolp], axis=1).reshape(3, 5, 7, 4, 2)
    assert nodes[..., 0] == pytest.approx(np.broadcast_to([[[[0.05]]], [[[0.225]]], [[[0.4]]]], (3, 5, 7, 4)), rel=1e-15)
    expected = np.broadcast_to(np.linspace(0, 1, 5)[None, :, None, None], (3, 5, 7, 4))
    assert nodes[..., 1] == pytest.approx(expected, abs=1e-15)
    angles = wrapped(aolp.reshape(3, 5, 7, 4)[:, 1:] - np.radians(np.arange(0, 181, 30))[:, None])
    assert angles == pytest.approx(0, abs=1e-14)
    assert len(set(scene.detector.tolist())) == scene.detector.size


def test_one_node_of_a_grid_is_the_uniform_scene():
    node = {"i": 0.2, "dolp": 0.3, "aolp": 25}
    single = {name: {"start": value, "stop": value, "steps": 1} for name, value in node.items()}
    grid = seen({"kind": "grid", **single, "pixels": 500}, IDEAL, "P1")
    uniform = seen(UNIFORM, IDEAL, "P1")
    assert (grid.stokes == uniform.stokes).all()
    assert (grid.detector == uniform.detector).all()


DIGEST = """
import hashlib
from radsens.instrument import load
from radsens.scenes import render
from radsens.scenes.analytic import Analytic
from radsens.scenes.uniform import Uniform
digest = hashlib.sha256()
for spec in (Analytic(kind="analytic", step=3), Uniform(kind="uniform", i=0.3, dolp=0.7, aolp=33.3, pixels=999)):
    for scene in render(spec, load("parasol"), ["443NP", "490P", "865P"]):
        for field in (scene.stokes, scene.x, scene.y, scene.theta, scene.scene_class, scene.detector):
            digest.update(field.tobytes())
print(digest.hexdigest())
"""


def test_scenes_have_the_same_bits_without_the_vector_units_of_the_processor():
    from numpy._core._multiarray_umath import __cpu_dispatch__ as features
    from numpy._core._multiarray_umath import __cpu_features__ as present

    hidden = " ".join(name for name in features if present.get(name))
    tunables = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-FMA,-FMA_Usable,-AVX512F,-AVX512VL,-AVX512_Usable"
    poor = environment(NPY_DISABLE_CPU_FEATURES=hidden, GLIBC_TUNABLES=tunables)
    outputs = [
        subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True, env=env).stdout
        for env in (environment(), poor)
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].strip()) == hashlib.sha256().digest_size * 2


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("spec", "knob"),
    [
        ({**UNIFORM, "i": 0}, "i"),
        ({**UNIFORM, "i": float("nan")}, "i"),
        ({**UNIFORM, "dolp": 1.01}, "dolp"),
        ({**UNIFORM, "dolp": -0.1}, "dolp"),
        ({**UNIFORM, "aolp": 181}, "aolp"),
        ({**UNIFORM, "pixels": 0}, "pixels"),
        ({**UNIFORM, "pixels": 2.5}, "pixels"),
        ({**UNIFORM, "colour": 1}, "colour"),
        ({"kind": "cloud"}, "kind"),
        ({**GRID, "i": {"start": 0, "stop": 1, "steps": 2}}, "start"),
        ({**GRID, "dolp": {"start": 0, "stop": 1.2, "steps": 2}}, "stop"),
        ({**GRID, "aolp": {"start": 0, "stop": 90, "steps": 0}}, "steps"),
        ({**GRID, "aolp": {"start": 0, "stop": 90, "steps": 1}}, "steps: 1 needs start = stop"),
        ({"kind": "analytic", "solar_zenith": 80}, "solar_zenith"),
        ({"kind": "analytic", "wind_speed": 0}, "wind_speed"),
        ({"kind": "analytic", "depolarisation": -0.01}, "depolarisation"),
        ({"kind": "analytic", "step": 0}, "step"),
    ],
)
def test_a_key_out_of_bounds_is_refused_by_name(spec, knob):
    with pytest.raises(ValidationError, match=knob):
        spec_of(spec)


def test_a_lacking_band_is_a_fault_that_lists_the_bands():
    with pytest.raises(Fault, match="ideal has no band '490P'; it has P1, P2, N1"):
        render(spec_of(UNIFORM), IDEAL, ["P1", "490P"])


@pytest.mark.parametrize("bands", [[], ["P1", "P1"]])
def test_no_band_or_one_twice_is_a_fault(bands):
    with pytest.raises(Fault, match=r"at least one band, each once; ideal has P1"):
        render(spec_of(UNIFORM), IDEAL, bands)


def test_more_pixels_than_the_focal_plane_has_is_a_fault():
    with pytest.raises(Fault, match="66309 pixels asked; the focal plane has 274 x 242 = 66308"):
        seen({**UNIFORM, "pixels": 66309}, IDEAL, "P1")
    with pytest.raises(Fault, match="105 nodes x 1000 pixels asked; the focal plane has 66308"):
        seen({**GRID, "pixels": 1000}, IDEAL, "P1")
    assert seen({**UNIFORM, "pixels": 66308}, IDEAL, "P1").stokes.shape == (3, 66308)


def test_a_scene_too_large_for_the_memory_is_a_fault_before_it_is_built():
    with pytest.raises(Fault, match="1000000000000 pixels"):
        seen({**UNIFORM, "pixels": 10**12}, IDEAL, "P1")
    spec = {name: {"start": 0.1, "stop": 0.9, "steps": 10000} for name in ("i", "dolp", "aolp")}
    with pytest.raises(Fault, match="1000000000000 nodes"):
        seen({"kind": "grid", **spec}, IDEAL, "P1")


@pytest.mark.parametrize(
    ("stokes", "message"),
    [
        ((0.0, 0.0, 0.0), "I ≤ 0"),
        ((-0.1, 0.0, 0.0), "I ≤ 0"),
        ((np.nan, 0.0, 0.0), "I ≤ 0 or not a number"),
        ((np.inf, 0.0, 0.0), "I ≤ 0 or not a number"),
        ((0.1, 0.08, 0.07), "DoLP > 1"),
        ((0.1, np.nan, 0.0), "DoLP > 1 or not a number"),
    ],
)
def test_an_unphysical_scene_is_a_fault_that_counts_its_pixels(monkeypatch, stokes, message):
    good, other = render(spec_of(UNIFORM), IDEAL, ["P1", "P2"])
    bad = replace(other, stokes=other.stokes.copy())
    bad.stokes[:, 3] = stokes
    monkeypatch.setattr(SCENES["uniform"], "render", lambda spec, instrument, bands: iter([good, bad]))
    scenes = render(spec_of(UNIFORM), IDEAL, ["P1", "P2"])
    assert next(scenes) is good
    with pytest.raises(Fault, match=f"scene: {message}.* in 1 pixels of band P2"):
        next(scenes)
