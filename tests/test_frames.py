"""The polarisation frame of the focal plane: carried to the line of sight by the lens, turned to other frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsens.instrument import DEGREE, dot, double_azimuth, frame_turn, line_of_sight, rotate, transported_axes

FIELD = st.floats(-1.5, 1.5)


@given(FIELD, FIELD)
def test_transported_axes_are_the_radial_rotation_of_the_focal_plane(x, y):
    # independent: radial and tangential unit vectors by trigonometry, turned back by φ
    phi, theta = np.arctan2(y, x), np.arctan(np.hypot(x, y))
    radial = np.array([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)])
    tangential = np.array([-np.sin(phi), np.cos(phi), 0])
    first, second = transported_axes(np.float64(x), np.float64(y))
    assert first == pytest.approx(np.cos(phi) * radial - np.sin(phi) * tangential, abs=1e-15)
    assert second == pytest.approx(np.sin(phi) * radial + np.cos(phi) * tangential, abs=1e-15)
    # second × first = propagation, which is opposite to the line of sight
    assert np.cross(second, first) == pytest.approx(-line_of_sight(np.float64(x), np.float64(y)), abs=1e-15)


@given(FIELD, FIELD, st.floats(0, 1.2), st.floats(-3.14, 3.14))
def test_meridian_to_focal_plane_is_meridian_to_radial_minus_azimuth(x, y, tilt, azimuth):
    zenith = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), -np.cos(tilt)])
    phi, theta = np.arctan2(y, x), np.arctan(np.hypot(x, y))
    sight = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    meridian = zenith - (zenith @ sight) * sight
    if np.linalg.norm(meridian) < 1e-3:
        return
    radial = np.array([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)])
    tangential = np.array([-np.sin(phi), np.cos(phi), 0])
    to_radial = -np.arctan2(meridian @ tangential, meridian @ radial)
    cos2, sin2 = frame_turn(zenith, np.float64(x), np.float64(y))
    assert cos2 == pytest.approx(np.cos(2 * (to_radial - phi)), abs=1e-10)
    assert sin2 == pytest.approx(-np.sin(2 * (to_radial - phi)), abs=1e-10)


def test_transport_is_the_identity_where_the_meridian_is_radial_along_x():
    # nadir pointing: the zenith at a pixel of the x axis lies in the plane of x and z
    x, y = np.linspace(-1.5, 1.5, 7), np.zeros(7)
    zenith = np.array([[-0.2], [0.0], [-0.98]]) * np.ones(7)
    cos2, sin2 = frame_turn(zenith, x, y)
    assert (cos2 == 1).all()
    assert (sin2 == 0).all()
    assert rotate(0.3, 0.4, (1.0, 0.0)) == (0.3, 0.4)


def test_transport_adds_the_azimuth_where_the_meridian_is_radial():
    # source: nadir pointing, meridian = radial, so χ(focal plane) = χ(meridian) + φ
    phi = np.linspace(-3, 3, 25)
    x, y = 0.8 * np.cos(phi), 0.8 * np.sin(phi)
    sight = line_of_sight(x, y)
    zenith = -(sight + np.array([[0.0], [0.0], [1.0]]))  # any vector of the plane of the axis and the ray
    chi = 20 * DEGREE
    q, u = rotate(np.cos(2 * chi), np.sin(2 * chi), frame_turn(zenith, x, y))
    assert q == pytest.approx(np.cos(2 * (chi + phi)), abs=1e-14)
    assert u == pytest.approx(np.sin(2 * (chi + phi)), abs=1e-14)


@pytest.mark.parametrize(("field_angle", "degrees"), [(30, 4.1), (50, 12.6)])
def test_projecting_the_x_axis_would_be_wrong_by_degrees(field_angle, degrees):
    phi = np.linspace(0, np.pi / 2, 901)
    radius = np.tan(field_angle * DEGREE)
    x, y = radius * np.cos(phi), radius * np.sin(phi)
    sight = line_of_sight(x, y)
    projected = np.array([[1.0], [0.0], [0.0]]) - sight[0] * sight
    first, second = transported_axes(x, y)
    angle = np.degrees(np.arctan2(dot(projected, second), dot(projected, first)))
    assert np.abs(angle).max() == pytest.approx(degrees, abs=0.06)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-3.2, 3.2))
def test_rotation_keeps_the_degree_of_polarisation_and_turns_back(q, u, psi):
    turn = np.cos(2 * psi), np.sin(2 * psi)
    turned = rotate(q, u, turn)
    assert np.hypot(*turned) == pytest.approx(np.hypot(q, u), abs=1e-15)
    assert rotate(*turned, (turn[0], -turn[1])) == pytest.approx((q, u), abs=1e-15)


@given(FIELD, FIELD)
def test_double_azimuth_is_that_of_the_radial_direction(x, y):
    cos2, sin2 = double_azimuth(np.float64(x), np.float64(y))
    if x == y == 0:
        assert (cos2, sin2) == (1, 0)
    elif np.hypot(x, y) > 1e-100:
        phi = np.arctan2(y, x)
        assert (cos2, sin2) == pytest.approx((np.cos(2 * phi), np.sin(2 * phi)), abs=1e-14)


def test_a_zenith_along_the_line_of_sight_defines_no_meridian_and_turns_nothing():
    assert frame_turn(np.array([0.0, 0.0, -1.0]), np.float64(0), np.float64(0)) == (1, 0)
