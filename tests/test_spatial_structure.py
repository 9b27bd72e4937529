"""Structure fixed to the ground: spectrum, cover, point-spread function, sampling."""

import numpy as np
import pytest

from radsens.scenes.structure import SIZE, binned, blurred, cover, finer, texture

SLOPE, OUTER, SPACING = 8 / 3, 200.0, 2.0


@pytest.fixture(scope="module")
def clouds():
    return texture(7, "clouds", SPACING, OUTER, SLOPE)


def test_a_texture_has_mean_zero_and_variance_one(clouds):
    assert abs(clouds.values.mean(dtype=float)) < 1e-5
    assert clouds.values.std(dtype=float) == pytest.approx(1, rel=1e-5)


def test_a_texture_has_the_slope_8_3_in_two_dimensions_and_5_3_along_a_line(clouds):
    k = 2 * np.pi * np.hypot(np.fft.fftfreq(SIZE, SPACING)[:, None], np.fft.rfftfreq(SIZE, SPACING))
    power = np.abs(np.fft.rfft2(clouds.values)) ** 2
    line = (np.abs(np.fft.rfft(clouds.values, axis=1)) ** 2).mean(0)[1:]
    k_line = 2 * np.pi * np.fft.rfftfreq(SIZE, SPACING)[1:]
    inertial, inertial_line = (k > 0.2) & (k < 1.2), (k_line > 0.1) & (k_line < 0.4)
    slope = np.polyfit(np.log(k[inertial]), np.log(power[inertial]), 1)[0]
    slope_line = np.polyfit(np.log(k_line[inertial_line]), np.log(line[inertial_line]), 1)[0]
    assert slope == pytest.approx(-8 / 3, abs=0.02)
    assert slope_line == pytest.approx(-5 / 3, abs=0.1)  # far from the outer scale and from the grid, which bend it


def test_a_texture_is_flat_beyond_its_outer_scale(clouds):
    k = 2 * np.pi * np.hypot(np.fft.fftfreq(SIZE, SPACING)[:, None], np.fft.rfftfreq(SIZE, SPACING))
    power, k0 = np.abs(np.fft.rfft2(texture(7, "clouds", SPACING, 20.0, SLOPE).values)) ** 2, 2 * np.pi / 20
    large, larger = (power[(k > a * k0) & (k < b * k0)].mean() for a, b in ((0.2, 0.3), (0.08, 0.2)))
    assert large / larger == pytest.approx(1, abs=0.1)


def test_a_texture_depends_on_its_seed_and_its_name_alone():
    one, same, seed, name = (
        texture(*address, SPACING, OUTER, SLOPE).values for address in ((1, "a"), (1, "a"), (2, "a"), (1, "b"))
    )
    assert (one == same).all()
    assert abs((one * seed).mean()) < 0.2 and abs((one * name).mean()) < 0.2


def test_a_texture_repeats_itself_without_a_seam(clouds):
    period, step = SIZE * SPACING, 1e-3
    here = np.array([3.0, -17.5]), np.array([-1.0, 640.25])
    assert clouds.at(here[0] + period, here[1] - period) == pytest.approx(clouds.at(*here), abs=1e-4)
    assert clouds.at(np.array([-step]), np.zeros(1)) == pytest.approx(clouds.at(np.array([step]), np.zeros(1)), abs=1e-2)


def test_a_texture_is_read_exactly_at_its_points_and_linearly_between(clouds):
    assert clouds.at(np.array([6.0]), np.array([10.0])) == pytest.approx(clouds.values[3, 5], rel=1e-6)
    assert clouds.at(np.array([7.0]), np.array([10.0])) == pytest.approx(clouds.values[3:5, 5].mean(), rel=1e-5)


def test_a_texture_has_no_value_where_there_is_no_ground(clouds):
    assert np.isnan(clouds.at(np.array([np.nan, 1.0]), np.array([0.0, np.nan]))).all()


@pytest.mark.parametrize("part", [0.1, 0.4, 0.9])
def test_the_level_of_a_cover_leaves_that_part_of_the_area_above(clouds, part):
    assert cover(clouds.values, clouds.level(part), 0).mean() == pytest.approx(part, abs=1e-4)


def test_an_edge_rises_from_clear_to_covered_around_the_level():
    values = np.array([-1.0, 0.9, 1.0, 1.1, 3.0])
    assert cover(values, 1.0, 0.4) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_a_plane_stays_a_plane_when_it_is_made_finer_and_binned_again():
    plane = 3 * np.arange(7.0)[:, None] - 2 * np.arange(5.0)
    assert finer(plane, 3).shape == (21, 15)
    assert binned(finer(plane, 3), 3) == pytest.approx(plane, abs=1e-12)
    assert finer(plane, 3)[1::3, 1::3] == pytest.approx(plane, abs=1e-12)


def test_a_point_is_blurred_into_a_gaussian_of_the_same_sum():
    point = np.zeros((61, 61))
    point[30, 30] = 1
    seen = blurred(point, 2.0)
    rows = np.arange(61) - 30
    assert seen.sum() == pytest.approx(1, rel=1e-12)
    assert (seen.sum(1) * rows**2).sum() == pytest.approx(4, rel=0.02)  # the tails beyond 3.5 sigma are cut
    assert (seen == seen.T).all()
    assert blurred(point, 0) is point
