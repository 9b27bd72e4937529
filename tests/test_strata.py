"""The parts of the image: every pixel where its classes say, whatever the classes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.equation import states

from radsens.gaps import strata as module
from radsens.gaps.strata import ALL, MOST_CELLS, Strata, aolp, dolp, partition, refuse_empty
from radsens.instrument import load
from radsens.schema import Fault

IDEAL = load("ideal")
CLASSES = ("clear", "cloud", "glint")


def scene_of(i, p, chi, kind=0):
    """Scene in one band of given radiance, DoLP, AoLP [deg] and class of each pixel."""
    found = states(IDEAL, i, p, np.radians(chi), band="P1")
    kinds = np.broadcast_to(kind, found.theta.shape).astype(np.int64)
    return replace(found, scene_class=kinds, class_names=CLASSES)


@pytest.fixture(scope="module")
def scene():
    """4000 pixels of all kinds."""
    random = np.random.default_rng(3)
    n = 4000
    return scene_of(random.uniform(0.01, 1, n), random.uniform(0, 0.8, n), random.uniform(-90, 90, n), random.integers(0, 3, n))


def inside(part, name):
    """Pixels of a stratum, bool (pixel)."""
    return (part.members[part.cell] == part.names.index(name)).any(axis=1)


def pixels(part):
    """Number of pixels of each stratum."""
    return np.array([inside(part, name).sum() for name in part.names])


# --- classes ----------------------------------------------------------------------------------------------------------

# Class of a pixel between edges: the lower edge belongs to it, and the upper one to the next, but for the last.
FIELD, DOLP, RADIANCE = (0, 15, 30, 45, 60), (0, 0.05, 0.2, 0.9), (0, 0.1, 0.5, 2)


def classes_of(scene):
    """Name of each stratum and its pixels, from the definition."""
    i, q, u = scene.stokes
    values = {
        ("field", "deg"): (np.degrees(scene.theta), FIELD),
        ("dolp", ""): (np.sqrt(q * q + u * u) / i, DOLP),
        ("radiance", ""): (i, RADIANCE),
        ("aolp", "deg"): (np.degrees(np.arctan2(u, q)) / 2 % 60, (0, 20, 40, 60)),
    }
    masks = {ALL: np.ones(i.size, bool)}
    for (field, unit), (value, edges) in values.items():
        for a, b in pairwise(edges):
            masks[f"{field}:{a:g}-{b:g}{unit}"] = (value >= a) & ((value < b) | ((value == b) & (b == edges[-1])))
    return masks | {f"scene_class:{name}": scene.scene_class == k for k, name in enumerate(CLASSES)}


def test_each_pixel_is_in_the_strata_of_its_classes_and_in_no_other(scene):
    part = partition(Strata(field=FIELD, dolp=DOLP, radiance=RADIANCE, aolp=3, scene_class=True), scene)
    expected = classes_of(scene)
    assert part.names == tuple(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(inside(part, name), mask, err_msg=name)


def test_without_classes_the_whole_image_is_the_only_stratum(scene):
    part = partition(Strata(), scene)
    assert part.names == (ALL,)
    assert inside(part, ALL).all()
    assert part.members.tolist() == [[0]]


def test_a_cell_is_one_combination_of_classes(scene):
    part = partition(Strata(field=FIELD, dolp=DOLP, aolp=2), scene)
    assert len(np.unique(part.cell)) == len(part.members)
    assert len(np.unique(part.members, axis=0)) == len(part.members)
    assert (np.sort(part.members, axis=1)[:, 0] == 0).all()  # `all` and one class of each field
    assert part.members.shape[1] == 4


def test_a_pixel_on_an_edge_belongs_to_the_class_above_and_on_the_last_edge_to_the_last():
    part = partition(Strata(radiance=(0.1, 0.2, 0.4)), scene_of([0.1, 0.2, 0.3, 0.4], 0.0, 0.0))
    assert inside(part, "radiance:0.1-0.2").tolist() == [True, False, False, False]
    assert inside(part, "radiance:0.2-0.4").tolist() == [False, True, True, True]


def test_pixels_outside_the_edges_are_in_the_whole_image_alone():
    part = partition(Strata(radiance=(0.1, 0.2, 0.4)), scene_of([0.05, 0.1, 0.4, 0.5], 0.3, [0, 10, 40, 50]))
    assert inside(part, ALL).all()
    rest = np.any([inside(part, name) for name in part.names if name != ALL], axis=0)
    assert rest.tolist() == [False, True, True, False]


def test_pixels_outside_the_edges_of_one_field_stay_in_the_classes_of_the_others():
    """The marginal of a field does not depend on the other fields; a crossing takes what both have."""
    strata = Strata(radiance=(0.1, 0.4), dolp=(0, 0.5), cross=("dolp", "radiance"))
    part = partition(strata, scene_of([0.05, 0.2, 0.2], [0.1, 0.1, 0.7], 0.0))
    assert dict(zip(part.names, pixels(part).tolist(), strict=True)) == {
        "all": 3,
        "dolp:0-0.5": 2,
        "radiance:0.1-0.4": 2,
        "dolp:0-0.5|radiance:0.1-0.4": 1,
    }


# --- angles -----------------------------------------------------------------------------------------------------------


@given(st.floats(-89.999, 90), st.floats(0.01, 1))
def test_the_angle_of_polarisation_is_half_that_of_q_and_u(chi, p):
    found = aolp(scene_of(0.3, p, chi).stokes)[0]
    assert abs((found - chi + 90) % 180 - 90) < 1e-12  # roundings of the sine and of the arctangent, in degrees


@settings(max_examples=30)
@given(st.floats(0.5, 59.5), st.integers(2, 12))
def test_classes_of_the_angle_repeat_every_sixty_degrees(chi, count):
    if abs(chi * count / 60 - round(chi * count / 60)) < 1e-6:  # an edge, where rounding decides
        chi += 1e-4
    part = partition(Strata(aolp=count), scene_of(0.3, 0.4, chi + np.array([-120.0, -60, 0, 60, 120, 180])))
    here = int(chi // (60 / count))
    assert pixels(part)[1:].tolist() == [6 * (k == here) for k in range(count)]


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.3])
def test_a_pixel_has_an_angle_where_it_is_more_polarised_than_the_threshold(scene, threshold):
    part = partition(Strata(aolp_min_dolp=threshold), scene)
    i, q, u = scene.stokes
    np.testing.assert_array_equal(part.aolp, np.sqrt(q * q + u * u) / i > threshold)


def test_light_without_polarisation_has_no_angle():
    part = partition(Strata(aolp_min_dolp=0, aolp=3), scene_of([0.2, 0.2], [0.0, 1e-6], 0.0))
    assert part.aolp.tolist() == [False, True]
    assert inside(part, "aolp:0-20deg").all()  # it still has a class, that of 0°


# --- crossing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cross", [("dolp", "aolp"), ("aolp", "dolp"), ("scene_class", "field")])
def test_crossed_strata_are_the_intersections_of_their_classes(scene, cross):
    part = partition(Strata(field=FIELD, dolp=DOLP, aolp=3, scene_class=True, cross=cross), scene)
    crossed = [name for name in part.names if "|" in name]
    marginal = {field: [n for n in part.names if n.startswith(f"{field}:") and "|" not in n] for field in cross}
    assert crossed == [f"{a}|{b}" for a in marginal[cross[0]] for b in marginal[cross[1]]]
    for name in crossed:
        a, b = name.split("|")
        np.testing.assert_array_equal(inside(part, name), inside(part, a) & inside(part, b), err_msg=name)
    for name in (n for names in marginal.values() for n in names):
        assert inside(part, name).sum() == sum(inside(part, n).sum() for n in crossed if name in n.split("|"))


def test_a_crossed_stratum_without_pixels_is_there_and_empty():
    strata = Strata(radiance=(0, 0.3, 1), dolp=(0, 0.2, 1), cross=("radiance", "dolp"))
    here = scene_of([0.1, 0.5], [0.1, 0.5], 10.0)
    part = partition(strata, here)
    assert dict(zip(part.names, pixels(part).tolist(), strict=True)) == {
        "all": 2,
        "radiance:0-0.3": 1,
        "radiance:0.3-1": 1,
        "dolp:0-0.2": 1,
        "dolp:0.2-1": 1,
        "radiance:0-0.3|dolp:0-0.2": 1,
        "radiance:0-0.3|dolp:0.2-1": 0,
        "radiance:0.3-1|dolp:0-0.2": 0,
        "radiance:0.3-1|dolp:0.2-1": 1,
    }
    assert list(refuse_empty(strata, [here])) == [here]  # empty crossings are no fault


def test_all_bands_have_the_same_strata_in_the_same_order(scene):
    darker = replace(scene, band="P2", stokes=scene.stokes * 0.3)
    strata = Strata(radiance=RADIANCE, dolp=DOLP, cross=("radiance", "dolp"))
    one, two = partition(strata, scene), partition(strata, darker)
    assert one.names == two.names
    assert (pixels(one) != pixels(two)).any()


# --- what is refused --------------------------------------------------------------------------------------------------


def test_more_cells_than_can_be_afforded_are_refused():
    """20 × 21 combinations of classes, a pixel in each; one class less is allowed."""
    i, p = (v.ravel() for v in np.meshgrid((np.arange(20) + 0.5) / 20, (np.arange(21) + 0.5) / 21))
    edges = tuple(np.linspace(0, 1, 21))
    with pytest.raises(Fault, match=rf"420 cells in band P1, at most {MOST_CELLS} are allowed"):
        partition(Strata(radiance=edges, dolp=tuple(np.linspace(0, 1, 22))), scene_of(i, p, 0.0))
    part = partition(Strata(radiance=edges, dolp=tuple(np.linspace(0, 1, 21))), scene_of(i, p * 0.95, 0.0))
    assert len(part.members) <= MOST_CELLS


@pytest.mark.parametrize(
    ("knobs", "name"),
    [
        ({"field": (0, 80, 90)}, "field:80-90deg"),
        ({"dolp": (0, 0.9, 0.95)}, "dolp:0.9-0.95"),
        ({"radiance": (0, 1, 1.5, 2)}, "radiance:1-1.5, radiance:1.5-2"),
    ],
)
def test_a_class_without_pixels_in_any_band_is_refused_by_name(scene, knobs, name):
    with pytest.raises(Fault, match=f"strata.{next(iter(knobs))}: no pixel of the scene is in {name} in any band"):
        list(refuse_empty(Strata(**knobs), [scene, replace(scene, band="P2")]))


def test_a_class_needs_pixels_in_one_band_only(scene):
    strata = Strata(radiance=(0.001, 0.01, 1))
    with pytest.raises(Fault, match=r"radiance:0.001-0.01"):
        list(refuse_empty(strata, [scene]))
    bands = [scene, replace(scene, band="P2", stokes=scene.stokes * 0.02)]
    assert list(refuse_empty(strata, bands)) == bands


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"field": (0, 20, 20)}, "the edges must rise"),
        ({"dolp": (0.5, 0.2)}, "the edges must rise"),
        ({"radiance": (0.5,)}, "at least 2 items"),
        ({"aolp": 1}, "greater than or equal to 2"),
        ({"aolp": 13}, "less than or equal to 12"),
        ({"aolp_min_dolp": 1.0}, "less than 1"),
        ({"dolp": (0, 1), "cross": ("dolp", "dolp")}, "two different fields"),
        ({"dolp": (0, 1), "cross": ("dolp", "aolp")}, "two different fields among those given"),
        ({"longitude": (0, 1)}, "Extra inputs are not permitted"),
    ],
)
def test_strata_that_make_no_sense_are_refused(knobs, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Strata(**knobs)


def test_the_degree_of_polarisation_is_that_of_the_definition(scene):
    i, q, u = scene.stokes
    np.testing.assert_allclose(dolp(scene.stokes), np.hypot(q, u) / i, rtol=4e-16)
    assert module.dolp(np.stack([scene.stokes] * 2)).shape == (2, 4000)
