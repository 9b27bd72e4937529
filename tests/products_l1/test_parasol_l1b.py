"""PARASOL level-1B products: what is read is what was written, where it was seen, and what is no value is left out.

The files are written in the layout of AERIS/ICARE by `l1_layouts`; the last test reads a real one, when there is one.
"""

import os
import shutil
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests import l1_layouts
from tests.l1_layouts import MISSING, SCALE

from radsens.scenes import content, parasol_l1b, render
from radsens.scenes.collection import Collection
from radsens.scenes.nadir_pointing import field_position
from radsens.scenes.parasol_l1b import ParasolL1B
from radsens.schema import Fault

BANDS = ("490P", "670P", "565NP")
HALF = SCALE / 2 * (1 + 1e-9)  # half the step of a radiance, and the rounding of the comparison


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A product of 12 × 10 pixels in 4 views, and what it was written from."""
    path = tmp_path_factory.mktemp("parasol") / "product.h5"
    return path, l1_layouts.parasol(path)


@pytest.fixture
def product(written, tmp_path):
    """The same product, to be changed."""
    return Path(shutil.copy(written[0], tmp_path / "product.h5"))


def spec(path, **more):
    return ParasolL1B(kind="parasol_l1b", path=str(path), **more)


def scenes(path, parasol, bands=BANDS, **more):
    return {scene.band: scene for scene in render(spec(path, **more), parasol, bands)}


def set_counts(path, changes):
    """Set counts of datasets at (row, column, view)."""
    with h5py.File(path, "r+") as file:
        for name, (place, count) in changes.items():
            file[name][place] = count


# ----------------------------------------------------------------------------------------------- what is read is what was written


def test_radiances_come_back_within_half_a_step_in_the_frame_of_the_product(written, parasol):
    path, made = written
    for band, scene in scenes(path, parasol).items():
        assert scene.sample.tolist() == list(range(480))
        back = parasol_l1b.to_product(spec(path), scene.stokes, scene)
        expected = made.stokes[band].reshape(3, -1) * np.array(
            [[1], [1], [1]] if parasol.band(band).polarised else [[1], [0], [0]]
        )
        assert np.abs(back - expected).max() <= HALF


def test_each_sample_is_put_where_the_detector_saw_it(written, parasol):
    path, made = written
    scene = scenes(path, parasol)["490P"]
    plane = parasol.detector("490P").focal_plane
    row, column = made.row.ravel(), made.column.ravel()
    assert scene.detector.tolist() == (np.rint(np.rint(row * 100) / 100) * 242 + np.rint(np.rint(column * 100) / 100)).tolist()
    x, y = plane.place(row, column)
    quantum = 0.0051 * plane.pitch_row / plane.focal_length  # of CCD_row and CCD_column, 0.01 element, and some
    np.testing.assert_allclose(scene.x, x, rtol=0, atol=quantum)
    np.testing.assert_allclose(scene.y, y, rtol=0, atol=quantum)
    np.testing.assert_allclose(np.tan(scene.theta), np.hypot(scene.x, scene.y), rtol=1e-12)
    assert (scene.shape, scene.plane) == ((274, 242), parasol.detector("490P").name)


@pytest.mark.parametrize(("mirror", "x", "y"), [("rows", 1, -1), ("columns", -1, 1), ("both", -1, -1)])
def test_addresses_may_count_from_the_other_side(written, parasol, mirror, x, y):
    plain, other = (scenes(written[0], parasol, mirror=m)["490P"] for m in ("none", mirror))
    np.testing.assert_allclose(other.x, x * plain.x, rtol=0, atol=1e-15)
    np.testing.assert_allclose(other.y, y * plain.y, rtol=0, atol=1e-15)
    plane = parasol.detector("490P").focal_plane
    half = 0.5 * plane.pitch_row / plane.focal_length
    assert np.abs(plane.coordinates(other.detector)[1] - other.y).max() <= half * (1 + 1e-9)


def test_angles_are_those_of_each_view(written, parasol):
    path, made = written
    geometry = scenes(path, parasol)["490P"].geometry
    for name, dataset, half in (("sza", "thetas", 0.00076), ("vza", "thetav", 0.00076), ("relative_azimuth", "phi", 0.0031)):
        np.testing.assert_allclose(geometry[name], made.angles[dataset].ravel(), rtol=0, atol=half)


def test_bands_share_their_pixels(written, parasol):
    a, b, c = scenes(written[0], parasol).values()
    assert a.x is b.x is c.x and a.sample is b.sample is c.sample


@pytest.mark.parametrize("block", [40, 100, 1_000_000])
def test_blocks_change_nothing(written, parasol, monkeypatch, block):
    whole = scenes(written[0], parasol)
    monkeypatch.setattr("radsens.scenes.hdf5_product.BLOCK", block)
    for band, scene in scenes(written[0], parasol).items():
        np.testing.assert_array_equal(scene.stokes, whole[band].stokes)
        np.testing.assert_array_equal(scene.detector, whole[band].detector)


def test_a_window_and_some_views_are_a_part_of_the_whole(written, parasol):
    whole = scenes(written[0], parasol)["670P"]
    part = scenes(written[0], parasol, rows=(3, 7), columns=(2, 2), views=(3, 1))["670P"]
    row, column, view = np.unravel_index(part.sample, (12, 10, 4))
    assert (set(row), set(column), set(view)) == ({3, 4, 5, 6, 7}, {2}, {1, 3})
    assert part.view.tolist() == view.tolist()
    np.testing.assert_array_equal(part.stokes, whole.stokes[:, part.sample])
    np.testing.assert_array_equal(part.geometry["vza"], whole.geometry["vza"][part.sample])


# ------------------------------------------------------------------------------------------------------------------- polarisation


def test_light_polarised_in_the_meridian_plane_is_radial_in_the_focal_plane(written, product, parasol):
    """Q > 0 and U = 0: the light vibrates in the plane of zenith and line of sight, which is the radius through the pixel."""
    with h5py.File(product, "r+") as file:
        file["Data_Directional_Fields/U490P"][...] = 0
        file["Data_Directional_Fields/Q490P"][...] = 300
    scene = scenes(product, parasol)["490P"]
    aolp = np.arctan2(scene.stokes[2], scene.stokes[1]) / 2
    np.testing.assert_allclose(np.sin(aolp - np.arctan2(scene.y, scene.x)), 0, atol=1e-12)


def test_the_other_sign_of_u_mirrors_the_polarisation_about_the_radius(written, parasol):
    plain, other = (scenes(written[0], parasol, u_sign=sign)["490P"] for sign in (1, -1))
    radial = np.arctan2(plain.y, plain.x)
    angles = [np.arctan2(s.stokes[2], s.stokes[1]) / 2 - radial for s in (plain, other)]
    np.testing.assert_allclose(np.sin(2 * (angles[0] + angles[1])), 0, atol=1e-9)
    np.testing.assert_allclose(np.hypot(*plain.stokes[1:]), np.hypot(*other.stokes[1:]), rtol=1e-12)


def test_a_band_without_polarisers_has_no_polarisation(written, parasol):
    assert not scenes(written[0], parasol)["565NP"].stokes[1:].any()


# ------------------------------------------------------------------------------------------------------ what is left out, and why


@pytest.mark.parametrize("code", MISSING)
@pytest.mark.parametrize("name", ["I490P", "Q490P", "U670P", "I565NP", "CCD_row", "CCD_column"])
def test_a_sample_without_a_value_in_one_band_is_left_out_of_all(product, parasol, name, code):
    set_counts(product, {f"Data_Directional_Fields/{name}": ((4, 5, 1), code)})
    for scene in scenes(product, parasol).values():
        assert set(range(480)) - set(scene.sample) == {(4 * 10 + 5) * 4 + 1}
        assert scene.remark == "479 of 480 samples taken; left out: 1 without a value"


@pytest.mark.parametrize("code", [65534, 65535])
@pytest.mark.parametrize("name", ["thetas", "thetav", "phi"])
def test_a_sample_without_an_angle_is_left_out(product, parasol, name, code):
    set_counts(product, {f"Data_Directional_Fields/{name}": ((0, 0, 0), code)})
    assert 0 not in scenes(product, parasol)["490P"].sample


def test_a_band_that_is_not_asked_for_leaves_nothing_out(product, parasol):
    set_counts(product, {"Data_Directional_Fields/I865P": ((slice(None), 0, 0), 32767)})
    assert scenes(product, parasol)["490P"].sample.size == 480


def test_dark_samples_and_those_polarised_by_more_than_all_are_left_out(product, parasol):
    i, q = "Data_Directional_Fields/I490P", "Data_Directional_Fields/Q490P"
    set_counts(product, {i: ((0, 0, slice(0, 2)), [0, -3]), q: ((1, 1, 0), 30000)})
    scene = scenes(product, parasol)["490P"]
    assert scene.remark == "477 of 480 samples taken; left out: 2 with I ≤ 0, 1 with DoLP > 1"


def test_a_sample_off_the_detector_is_left_out(product, parasol):
    set_counts(product, {"Data_Directional_Fields/CCD_row": ((0, 0, slice(0, 3)), [27449, 27451, 40])})
    assert scenes(product, parasol)["490P"].remark == "478 of 480 samples taken; left out: 2 off the detector"


def test_quality_flags_reject_when_they_are_asked_to(product, parasol):
    flags = "Quality_Flags_Directional_Fields/Quality_Flags_"
    set_counts(product, {f"{flags}{n:02d}": ((0, 0, 0), 1) for n in (1, 7, 11)} | {f"{flags}03": ((0, 0, 1), 1)})
    assert set(range(480)) - set(scenes(product, parasol)["490P"].sample) == {1}
    assert set(range(480)) - set(scenes(product, parasol, reject=(1,))["490P"].sample) == {0}
    assert scenes(product, parasol, reject=())["490P"].sample.size == 480


def test_classes_follow_the_cloud_indicator_then_the_land_and_sea_flag(written, product, parasol):
    set_counts(product, {"Data_Fields/cloud_indicator": ((0, 3), 32767)})
    scene = scenes(product, parasol)["490P"]
    row, column, _ = np.unravel_index(scene.sample, (12, 10, 4))
    clear = np.array(["clear_ocean", "clear_coast", "clear_land"])[row % 3]
    expected = np.where(column % 3 == 0, clear, np.where(column % 3 == 1, "undetermined", "cloudy"))
    expected[(row == 0) & (column == 3)] = "unmarked"
    assert np.array(scene.class_names)[scene.scene_class].tolist() == expected.tolist()


def test_classes_that_do_not_occur_have_no_name(written, parasol):
    assert scenes(written[0], parasol, rows=(0, 0), columns=(0, 0))["490P"].class_names == ("clear_ocean",)


# -------------------------------------------------------------------------------------------------------------- what a product is


def test_the_key_of_a_scene_holds_the_content_of_the_product_and_not_its_name(product, tmp_path):
    copy = Path(shutil.copy(product, tmp_path / "another name.h5"))
    assert content(spec(product).model_dump()) == content(spec(copy).model_dump())
    set_counts(copy, {"Data_Directional_Fields/I490P": ((0, 0, 0), 1)})
    assert content(spec(product).model_dump()) != content(spec(copy).model_dump())


def test_products_may_be_analysed_together(written, product, parasol):
    """In a collection: each has its samples, its remark, and its content in the key."""
    set_counts(product, {"Data_Directional_Fields/I490P": ((0, 0, 0), 32767)})
    both = Collection(kind="collection", scenes=(spec(written[0]), spec(product)))
    (scene,) = render(both, parasol, ["490P"])
    assert (scene.sample.size, np.unique(scene.sample).size) == (959, 959)
    assert scene.remark.startswith("480 of 480 samples taken; ")
    assert scene.remark.endswith("; 479 of 480 samples taken; left out: 1 without a value")
    contents = [one["path"] for one in content(both.model_dump())["scenes"]]
    assert contents == [content(spec(path).model_dump())["path"] for path in (written[0], product)]
    assert contents[0] != contents[1]


def test_a_product_of_gigabytes_that_was_hardly_written_takes_no_memory(product, parasol):
    """One chunk of the 3240 × 6480 × 16 counts is there, 0.7 GB in each dataset: the rest is read as missing, by blocks."""
    with h5py.File(product, "r+") as file:
        for name in ("I565NP", "thetas", "thetav", "phi", "CCD_row", "CCD_column"):
            declare(file, f"Data_Directional_Fields/{name}", (3240, 6480, 16), 700)
        for name in ("Data_Fields/cloud_indicator", "Geolocation_Fields/land_sea_flag"):
            declare(file, name, (3240, 6480), 0)
    tracemalloc.start()
    scene = scenes(product, parasol, ["565NP"], reject=(), rows=(0, 40))["565NP"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scene.sample.size == 8 * 8 * 16
    assert peak < 300e6  # a block of 2 million counts has some ten arrays of 16 MB


def declare(file, name, shape, count):
    """Make a dataset anew that claims a shape and has one chunk written."""
    attributes, kind = dict(file[name].attrs), file[name].dtype
    del file[name]
    made = file.create_dataset(name, shape, kind, chunks=(8, 8, 16)[: len(shape)], fillvalue=attributes["_FillValue"])
    made.attrs.update(attributes)
    made[:8, :8] = count


REAL = "RADSENS_PARASOL_L1B"


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} does not name a real product; none was available to the authors")
def test_a_real_product_is_read(parasol):
    found = scenes(os.environ[REAL], parasol, ("490P", "670P", "865P"))
    for scene in found.values():
        assert scene.sample.size > 1000
        assert scene.detector.max() < 274 * 242
        assert 0.01 < np.median(scene.stokes[0]) < 1
    view_angles_agree(scene)


def view_angles_agree(scene):
    """The place on the detector against that which the angles of all views of a pixel give: neither mirrored nor turned."""
    pixel, target = np.unique(scene.sample // 16, return_inverse=True)
    shape = (pixel.size, 16)
    zenith, azimuth, seen, x, y = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool), np.zeros(shape), np.zeros(shape)
    at = target, scene.view
    zenith[at], azimuth[at], seen[at], x[at], y[at] = (
        scene.geometry["vza"],
        -scene.geometry["relative_azimuth"],
        True,
        scene.x,
        scene.y,
    )
    found_x, found_y, known = field_position(zenith, azimuth, seen, 705.0, 0.0)
    assert np.median(np.abs(found_x - x)[known]) < 0.05, "mirrored, or in another sense: see the knob mirror"
    assert np.median(np.abs(found_y - y)[known]) < 0.05, "mirrored, or in another sense: see the knob mirror"


def test_a_scene_of_a_product_needs_what_the_product_has(written, parasol):
    with pytest.raises(Fault, match=r"^scene.views: must be all, or different numbers from 0 to 3, got \[4\]$"):
        scenes(written[0], parasol, views=(4,))
    with pytest.raises(Fault, match=r"^scene.rows: must be a first and a last one from 0 to 11, got \[3, 12\]$"):
        scenes(written[0], parasol, rows=(3, 12))
    with pytest.raises(Fault, match=r"^scene.columns: must be a first and a last one from 0 to 9, got \[5, 4\]$"):
        scenes(written[0], parasol, columns=(5, 4))
