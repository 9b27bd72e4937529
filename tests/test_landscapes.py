"""Scenes by radiative transfer: what PARASOL must see of the sea, of clouds and of land, and where."""

import json
from datetime import date
from functools import cache

import numpy as np
import pytest
from pydantic import TypeAdapter

from radsens import instrument as instruments
from radsens.instrument import dot, double_azimuth, line_of_sight, rotate, transported_axes
from radsens.scenes import SceneSpec, render
from radsens.scenes.acquisition import Overpass, look, passage
from radsens.schema import Fault

PARASOL = instruments.load("parasol")
SPEC = TypeAdapter(SceneSpec)


def seen(kind, band, step=6, **more):
    """The scene of one band; `more` are knobs, those of the acquisition too."""
    place = {name: more.pop(name) for name in ("date", "latitude", "longitude", "views", "every") if name in more}
    knobs = {"kind": kind, "acquisition": {"step": step, **place}, "accuracy": "reduced", **more}
    return rendered(json.dumps(knobs), band)


@cache
def rendered(knobs, band):
    (scene,) = render(SPEC.validate_json(knobs), PARASOL, [band])
    return scene


def dolp(scene):
    return np.hypot(scene.stokes[1], scene.stokes[2]) / scene.stokes[0]


def across(scene):
    """Part of I that is polarised across the scattering plane, positive, or along it, negative: −Q in that plane.

    The scattering plane holds the sun and the line of sight; on the axes of the instrument both directions are those of
    the acquisition, without any meridian frame.
    """
    platform = PARASOL.platform
    overpass = Overpass(platform, passage(platform, date(2006, 3, 21), 4, 0), 4, 0)
    sun = look(overpass, scene.x, scene.y).sun
    sight = line_of_sight(scene.x, scene.y)
    normal = np.cross(sun[:, None], sight, axis=0)
    a, b = (dot(normal, axis) for axis in transported_axes(scene.x, scene.y))
    square = a * a + b * b
    return (scene.stokes[1] * (a * a - b * b) + scene.stokes[2] * 2 * a * b) / square / scene.stokes[0]


def test_clear_sky_is_polarised_across_the_scattering_plane():
    scene = seen("clear_ocean", "490P")
    side = scene.geometry["scattering_angle"] < 130
    assert across(scene)[side] == pytest.approx(dolp(scene)[side], rel=0.02)
    assert dolp(scene)[side].max() > 0.4


def test_blue_sky_light_has_neutral_points_around_the_antisolar_direction():
    """Arago's and Brewster's points: polarisation vanishes there, and lies along the scattering plane between them."""
    scene = seen("clear_ocean", "443NP", surface={"kind": "lambertian", "albedo": 0.0}, aerosols=[])
    theta = scene.geometry["scattering_angle"]
    assert dolp(scene)[theta > 140].min() < 0.01
    assert across(scene)[theta > 176].min() < -0.005
    assert across(scene)[(theta > 100) & (theta < 130)].min() > 0.1


def test_the_primary_rainbow_of_a_liquid_cloud_stands_at_140_degrees():
    scene = seen("liquid_cloud", "865P", step=3)
    theta, polarised = scene.geometry["scattering_angle"], across(scene)
    rings = np.arange(120, 170)
    ring = np.array([polarised[np.abs(theta - angle) < 0.5].mean() for angle in rings])
    assert 139 <= rings[ring.argmax()] <= 143
    assert ring.max() > 0.1
    assert ring[rings == 125][0] < 0.05


def test_an_ice_cloud_has_no_rainbow():
    scene = seen("ice_cloud", "865P")
    assert dolp(scene).max() < 0.06


def test_glint_is_where_it_must_be_on_the_side_of_the_sun_and_polarised():
    scene = seen("clear_ocean", "865P", step=3, date="2006-12-21")
    glint, i = scene.geometry["glint_angle"], scene.stokes[0]
    brightest = i.argmax()
    assert glint[brightest] < 8
    assert scene.geometry["relative_azimuth"][brightest] > 150
    assert i[glint < 5].mean() > 5 * i[glint > 60].mean()
    ring = (glint > 10) & (glint < 20)
    assert dolp(scene)[ring].mean() > 3 * dolp(scene)[scene.geometry["scattering_angle"] > 165].mean()


def test_glint_is_a_class_of_its_own():
    scene = seen("clear_ocean", "865P")
    assert scene.class_names == ("clear_ocean", "clear_ocean_glint")
    assert ((scene.geometry["glint_angle"] < 30) == (scene.scene_class == 1)).all()


def test_vegetation_has_a_red_edge_and_desert_and_snow_are_bright():
    level = {
        (kind, band): seen(kind, band).stokes[0].mean() for kind in ("vegetation", "desert", "snow") for band in ("670P", "865P")
    }
    assert level["vegetation", "865P"] > 4 * level["vegetation", "670P"]
    assert level["snow", "670P"] > 0.6 > level["desert", "670P"] > 0.25
    assert seen("snow", "670P").stokes[0].mean() > seen("clear_ocean", "670P").stokes[0].mean() * 5


def test_land_is_little_polarised_and_most_so_forwards():
    scene = seen("desert", "865P", aerosols=[])
    theta = scene.geometry["scattering_angle"]
    assert dolp(scene)[theta < 120].mean() > 4 * dolp(scene)[theta > 165].mean()
    assert dolp(scene).max() < 0.1


def test_oxygen_darkens_763_more_than_765_and_less_above_a_high_cloud():
    def ratio(kind):
        return (seen(kind, "763NP").stokes[0] / seen(kind, "765NP").stokes[0]).mean()

    assert 0.55 < ratio("desert") < ratio("liquid_cloud") < ratio("ice_cloud") < 1


def test_the_image_does_not_depend_on_the_step():
    fine, coarse = seen("clear_ocean", "670P", step=3), seen("clear_ocean", "670P", step=9)
    common, i, j = np.intersect1d(fine.detector, coarse.detector, return_indices=True)
    assert common.size > 100
    assert fine.stokes[:, i] == pytest.approx(coarse.stokes[:, j], abs=1e-5)


def test_q_and_u_are_in_the_focal_plane_not_in_the_meridian():
    """Near the nadir the meridian turns through all azimuths; on the focal plane Q and U are smooth there."""
    scene = seen("clear_ocean", "490P", step=1, latitude=20)
    near = scene.theta < np.radians(2)
    meridian = rotate(
        scene.stokes[1], scene.stokes[2], tuple(s * t for s, t in zip((1, -1), double_azimuth(scene.x, scene.y), strict=True))
    )
    focal = np.ptp(scene.stokes[1:, near], axis=1)
    assert (focal < 0.3 * np.ptp(np.stack(meridian)[:, near], axis=1)).all()


def test_views_share_detector_addresses_and_have_samples_of_their_own():
    scene = seen("broken_cloud", "670P", step=12, views=3)
    assert np.unique(scene.sample).size == scene.sample.size
    assert [(scene.view == k).sum() for k in range(3)] == [np.unique(scene.detector).size] * 3
    assert (scene.sample == scene.view * 274 * 242 + scene.detector).all()


def test_a_cloud_stays_where_it_is_on_the_ground_while_the_satellite_passes():
    """A place seen in two views is under cloud in both: clouds are fixed to the ground, not to the image."""
    scene = seen("broken_cloud", "865P", step=2, views=3, blur=0.0, edge=0.0, outer_scale=400.0)
    names = scene.class_names
    places = [np.stack([scene.geometry[g][scene.view == k] for g in ("latitude", "longitude")], axis=1) for k in range(3)]
    classes = [scene.scene_class[scene.view == k] for k in range(3)]
    agree = total = 0
    for place, one in zip(places[0][::100], classes[0][::100], strict=True):
        distance = np.abs(places[2] - place).max(1)
        there = classes[2][distance.argmin()]
        pure = {names.index("liquid_cloud"), names.index("clear_ocean"), names.index("clear_ocean_glint")}
        if distance.min() < 0.04 and one in pure and there in pure:
            total += 1
            agree += (one == names.index("liquid_cloud")) == (there == names.index("liquid_cloud"))
    assert total > 30
    assert agree / total > 0.95


def test_a_pixel_between_cloud_and_sea_sends_their_mean_light():
    """The light of a mixed pixel lies between that of the cloud and that of the sea, in proportion to the cover."""
    cloud, sea, broken = (seen(kind, "670P", step=6) for kind in ("liquid_cloud", "clear_ocean", "broken_cloud"))
    share = (broken.stokes[0] - sea.stokes[0]) / (cloud.stokes[0] - sea.stokes[0])
    assert share.min() > -1e-3 and share.max() < 1 + 1e-3
    assert share.mean() == pytest.approx(0.4, abs=0.1)
    for k in (1, 2):
        assert broken.stokes[k] == pytest.approx(sea.stokes[k] + share * (cloud.stokes[k] - sea.stokes[k]), abs=3e-4)


def test_an_orbit_passes_over_every_landscape():
    scene = seen("orbit", "865P", step=12, views=4, every=20, latitude=20)
    found = {scene.class_names[k] for k in np.unique(scene.scene_class)}
    assert {"clear_ocean", "liquid_cloud", "ice_cloud", "desert", "vegetation", "snow", "mixed"} <= found


@pytest.mark.parametrize("kind", ["broken_cloud", "orbit"])
def test_pixels_beyond_the_terminator_are_left_out(kind):
    scene = seen(kind, "670P", latitude=62, date="2006-12-21", views=1, every=1)
    assert 0 < scene.theta.size < 0.9 * 46 * 40
    assert scene.geometry["sza"].max() < 87.2  # a cosine of 0.05
    assert (scene.stokes[0] > 0).all()


def test_night_is_refused_in_one_sentence():
    with pytest.raises(Fault, match="sees no sunlit ground"):
        seen("clear_ocean", "865P", latitude=80, date="2006-12-21")
