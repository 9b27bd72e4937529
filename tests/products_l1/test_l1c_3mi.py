"""3MI level-1C products: what is read is what was written, put back on the detector by its angles.

The files are written in the layout of public readers by `l1_layouts`; the last test reads a real one, when there is one.
"""

import os
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from netCDF4 import Dataset
from tests import l1_layouts
from tests.l1_layouts import SCALE

from radsens.instrument import Polarimeter, double_azimuth, load
from radsens.scenes import l1c_3mi, render
from radsens.scenes.acquisition import Overpass, look, passage, place
from radsens.scenes.l1c_3mi import L1C3MI
from radsens.scenes.nadir_pointing import field_position
from radsens.schema import Fault

ALTITUDE, HEADING = 835.0, 12.0
BANDS = ("490P", "865P", "763NP", "1650P")
HALF = SCALE / 2 * (1 + 1e-6)  # half the step of a reflectance, and the rounding of the angles to 32 bits


@pytest.fixture(scope="session")
def two_detectors(parasol) -> Polarimeter:
    """PARASOL's optics on a satellite at 835 km, with a second, smaller detector for a band at 1650 nm."""
    one = parasol.detectors[0]
    small = one.focal_plane.model_copy(update={"rows": 120, "columns": 100, "pitch_row": 0.06, "pitch_column": 0.06})
    bands = [parasol.band(name) for name in BANDS[:3]]
    swir = parasol.band("865P").model_copy(update={"name": "1650P", "detector": "swir", "wavelength": 1650.0})
    return parasol.model_copy(
        update={
            "platform": parasol.platform.model_copy(update={"altitude": ALTITUDE, "heading": HEADING}),
            "detectors": (one, one.model_copy(update={"name": "swir", "focal_plane": small})),
            "bands": (*bands, swir),
        }
    )


def write(path, **more):
    return l1_layouts.three_mi(
        path, ("490P", "865P", "1650P"), ("763NP",), swir=("1650P",), altitude=ALTITUDE, heading=HEADING, **more
    )


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A product of two overlap groups of 20 cells, and what it was written from."""
    path = tmp_path_factory.mktemp("three_mi") / "product.nc"
    return path, write(path)


@pytest.fixture
def product(written, tmp_path):
    """The same product, to be changed."""
    return Path(shutil.copy(written[0], tmp_path / "product.nc"))


def spec(path, **more):
    return L1C3MI(kind="l1c_3mi", path=str(path), **more)


def scenes(path, instrument, bands=BANDS, **more):
    return {scene.band: scene for scene in render(spec(path, **more), instrument, bands)}


def change(path, variable, place, value):
    with Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        file[f"data/overlap_000/{variable}"][place] = value


def at(scene, groups):
    """What was written at the samples of a scene: (..., cell, view) of the overlap groups, one after the other."""
    return np.concatenate([group.reshape(*group.shape[:-2], -1) for group in groups], axis=-1)[..., scene.sample]


def truth(made, scene, band):
    """The reflectances of a band that were written, (3, sample)."""
    return at(scene, [made.reflectance[n, band] for n in (0, 1)])


# --------------------------------------------------------------------------------------------------------- the place in the field


@pytest.mark.parametrize("heading", [0.0, 90.0, -37.0])
def test_the_angles_of_a_target_give_its_place_in_the_field_of_every_view(heading):
    """Against vectors from the centre of the Earth, for targets on both sides of a track that is oblique to the meridians."""
    seen = l1_layouts.overpass(200, 14, ALTITUDE, heading)
    x, y, known = field_position(seen.vza, 77 - seen.azimuth, seen.vza < 80, ALTITUDE, heading)
    assert known.all()
    np.testing.assert_allclose(x, seen.x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y, seen.y, rtol=0, atol=1e-12)


def test_the_place_in_the_field_is_that_of_the_acquisition_over_the_ellipsoid_with_a_sun_that_moves():
    """The sphere, and the sun from which the azimuth is counted, cost some elements and less than 1° of the frame."""
    instrument = load("3mi")
    plane, platform = instrument.detector("865P").focal_plane, instrument.platform
    overpass = Overpass(platform, passage(platform, date(2026, 6, 21), 45.0, 0.0), 45.0, 0.0)
    targets = [side.ravel() for side in np.meshgrid(np.linspace(40, 50, 6), np.linspace(-8, 8, 6))]
    seen = np.zeros((36, 14), bool)
    (vza, azimuth, x, y), double = np.zeros((4, 36, 14)), np.zeros((36, 14), complex)
    for view in range(14):
        there = place(overpass, *targets, view - 7)
        inside = np.hypot(*there) < 1.2
        x[:, view], y[:, view] = (np.where(inside, side, 0.0) for side in there)
        found = look(overpass, x[:, view], y[:, view], view - 7)
        seen[:, view] = inside
        vza[:, view] = np.degrees(np.arccos(found.mu))
        azimuth[:, view] = np.degrees(found.phi) + 180  # of the satellite, anticlockwise from the sun
        double[:, view] = found.turn[0] + 1j * found.turn[1]
    made = field_position(vza, azimuth, seen, platform.altitude, platform.heading)
    known = made[2] & (np.hypot(x, y) > 0.2)
    assert known.sum() > 300
    column, row = ((a - b)[known] * plane.focal_length / plane.pitch_row for a, b in zip(made[:2], (x, y), strict=True))
    assert np.hypot(column, row).max() < 5
    c, s = double_azimuth(*made[:2])
    assert np.abs(np.angle((double / (c + 1j * s))[known], deg=True) / 2).max() < 1


def test_the_other_sense_of_the_azimuth_mirrors_the_field_across_the_flight_direction():
    seen = l1_layouts.overpass(50, 14, ALTITUDE)
    x, y, _ = field_position(seen.vza, seen.azimuth, seen.vza < 80, ALTITUDE, 0.0)
    np.testing.assert_allclose(x, -seen.x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y, seen.y, rtol=0, atol=1e-12)


def test_a_target_seen_once_has_no_place_since_its_flight_direction_is_not_known():
    angles = np.full((1, 3), 20.0)
    assert not field_position(angles, angles, np.array([[False, True, False]]), ALTITUDE, 0.0)[2].any()


def test_a_target_at_the_nadir_is_on_the_axis():
    seen = l1_layouts.overpass(1, 3, ALTITUDE)
    vza = np.array([[20.0, 0.0, 20.0]])
    x, y, _ = field_position(vza, np.array([[180.0, 0.0, 0.0]]), vza < 80, ALTITUDE, 0.0)
    assert (x[0, 1], y[0, 1]) == (0, 0)
    assert y[0, 0] == pytest.approx(-y[0, 2])
    assert y[0, 0] > 0  # ahead of the satellite at first
    assert seen.y[0, 0] > seen.y[0, 2]


# ----------------------------------------------------------------------------------------------- what is read is what was written


def test_reflectances_come_back_within_half_a_step_in_the_frame_of_the_product(written, two_detectors):
    path, made = written
    for band, scene in scenes(path, two_detectors).items():
        back = l1c_3mi.to_product(spec(path), scene.stokes, scene)
        components = 3 if two_detectors.band(band).polarised else 1
        assert np.abs(back - truth(made, scene, band))[:components].max() <= HALF


def test_radiances_are_reflectances_times_the_cosine_of_the_solar_zenith_angle(written, two_detectors):
    path, made = written
    scene = scenes(path, two_detectors)["490P"]
    mu0 = np.cos(np.radians(np.tile(np.repeat(made.sza, 14), 2)))[scene.sample]
    np.testing.assert_allclose(scene.stokes[0], truth(made, scene, "490P")[0] * mu0, rtol=0, atol=HALF)


def test_each_sample_is_put_where_the_detector_saw_it(written, two_detectors):
    path, made = written
    for band, detector in (("490P", "VNIR"), ("1650P", "SWIR")):
        scene = scenes(path, two_detectors)[band]
        x, y = (at(scene, [getattr(made.passes[n, detector], axis) for n in (0, 1)]) for axis in ("x", "y"))
        # angles are 32-bit reals, 8e-6 deg at 90 deg; tan θ moves up to three times as fast as θ, and y with the azimuth
        np.testing.assert_allclose(scene.x, x, rtol=0, atol=2e-6)
        np.testing.assert_allclose(scene.y, y, rtol=0, atol=2e-6)
        plane = two_detectors.detector(band).focal_plane
        near = plane.coordinates(scene.detector)
        assert np.abs(near[0] - scene.x).max() <= 0.5001 * plane.pitch_column / plane.focal_length
        assert np.abs(near[1] - scene.y).max() <= 0.5001 * plane.pitch_row / plane.focal_length


def test_detectors_have_views_and_pixels_of_their_own_and_their_bands_share_them(written, two_detectors):
    found = scenes(written[0], two_detectors)
    assert found["490P"].x is found["865P"].x is found["763NP"].x
    for band, views in (("490P", 14), ("1650P", 12)):
        assert found[band].view.tolist() == (found[band].sample % views).tolist()
        assert 20 * views < found[band].sample.max() < 2 * 20 * views
    assert (found["1650P"].plane, found["1650P"].shape) == ("swir", (120, 100))


@pytest.mark.parametrize("block", [14, 50])
def test_blocks_change_nothing(written, two_detectors, monkeypatch, block):
    whole = scenes(written[0], two_detectors)
    monkeypatch.setattr("radsens.scenes.hdf5_product.BLOCK", block)
    for band, scene in scenes(written[0], two_detectors).items():
        np.testing.assert_array_equal(scene.stokes, whole[band].stokes)
        np.testing.assert_array_equal(scene.sample, whole[band].sample)


def test_real_numbers_are_read_as_they_are(tmp_path, two_detectors):
    made = write(tmp_path / "real.nc", packed=False)
    scene = scenes(tmp_path / "real.nc", two_detectors)["865P"]
    back = l1c_3mi.to_product(spec(tmp_path), scene.stokes, scene)
    np.testing.assert_allclose(back, truth(made, scene, "865P"), rtol=1e-6, atol=1e-8)  # 32-bit reals


def test_some_views_and_overlaps_are_a_part_of_the_whole(written, two_detectors):
    whole = scenes(written[0], two_detectors)["490P"]
    part = scenes(written[0], two_detectors, views=(7, 2))["490P"]
    assert set(part.view) == {2, 7}
    np.testing.assert_array_equal(part.stokes, whole.stokes[:, np.isin(whole.view, (2, 7))])
    second = scenes(written[0], two_detectors, overlaps=(1,))["490P"]
    np.testing.assert_array_equal(second.stokes, whole.stokes[:, whole.sample >= 20 * 14])


# --------------------------------------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize(
    ("variable", "code"),
    [
        ("measurement_data/r_0865/reflectance_Q", -32767),
        ("measurement_data/r_0763/reflectance_I", 32767),
        ("geolocation_data/satellite_zenith_angle", np.float32(9.96921e36)),
        ("geolocation_data/solar_zenith_angle", np.nan),
    ],
)
def test_a_sample_without_a_value_is_left_out_of_all_bands_of_its_detector(product, two_detectors, variable, code):
    whole = scenes(product, two_detectors)
    address = whole["490P"].sample[3]
    change(product, variable, np.divmod(address, 14), code)
    for band, scene in scenes(product, two_detectors).items():
        expected = {int(address)} if band != "1650P" else set()
        assert set(whole[band].sample) - set(scene.sample) == expected
        assert ("1 without a value" in scene.remark) == bool(expected)


def test_a_cell_without_sun_is_left_out(product, two_detectors):
    before = scenes(product, two_detectors)["490P"].sample.size
    change(product, "geolocation_data/solar_zenith_angle", (0, slice(None)), 95.0)
    scene = scenes(product, two_detectors)["490P"]
    assert scene.sample.min() >= 14
    assert "with I ≤ 0" in scene.remark and scene.sample.size < before


# -------------------------------------------------------------------------------------------------------- what it cannot be asked


def test_a_band_whose_name_has_no_wavelength_is_not_in_a_product(written, two_detectors):
    other = two_detectors.model_copy(update={"bands": (two_detectors.band("490P").model_copy(update={"name": "blue"}),)})
    with pytest.raises(Fault, match=r"^bands: blue does not begin with a wavelength \[nm\]"):
        scenes(written[0], other, ["blue"])


def test_overlaps_that_the_product_lacks_are_told(written, two_detectors):
    said = r"^scene.overlaps: must be all, or numbers of overlap_000, overlap_001; got \[2\]$"
    with pytest.raises(Fault, match=said):
        scenes(written[0], two_detectors, overlaps=(2,))


REAL = "RADSENS_3MI_L1C"


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} does not name a real product; none was available to the authors")
def test_a_real_product_is_read(two_detectors):
    for scene in scenes(os.environ[REAL], two_detectors, ("490P", "865P")).values():
        assert scene.sample.size > 1000
        assert 0.01 < np.median(scene.stokes[0]) < 1
        # most of what is seen lies on the detector
        kept, asked = (int(n) for n in scene.remark.split(" samples")[0].split(" of "))
        assert kept > 0.1 * asked
