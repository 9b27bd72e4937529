"""Where the pixels look: each law of the geometry by another road than that of the code, handedness by what a passenger sees."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import radial_frame, stokes_of_fields

from radsens.instrument import DEGREE, FocalPlane, Platform, double_azimuth, load, rotate
from radsens.scenes import acquisition
from radsens.scenes.acquisition import Look, Overpass, attitude, look, passage, place, sun_direction
from radsens.schema import Fault
from radsens.transfer.scattering import scattering_plane

SPRING = date(2006, 3, 21)
AXIS = np.zeros(1)  # the pixel on the optical axis
A, B = 6378.137, 6356.752314245  # WGS84 [km]
AFTERNOON = Platform(altitude=705, inclination=98.2, passing="ascending", local_time=13.5, view_period=19.6, views=16, heading=0)
MORNING = AFTERNOON.model_copy(update={"passing": "descending", "local_time": 9.5, "altitude": 817.5, "inclination": 98.7})
PLANE = load("parasol").detector("670P").focal_plane
EDGE_X, EDGE_Y, _ = (abs(float(edge)) for edge in PLANE.coordinates(0))


def over(latitude: float, longitude: float = 0.0, platform: Platform = AFTERNOON) -> Overpass:
    return Overpass(platform, passage(platform, SPRING, latitude, longitude), latitude, longitude)


def field(plane: FocalPlane = PLANE, pixels: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Pixels all over the field, the corners and the neighbourhood of the axis among them."""
    x, y, _ = plane.coordinates(
        np.append(plane.spread(pixels), [0, plane.columns - 1, plane.size - plane.columns, plane.size - 1])
    )
    return np.append(x, [1e-3, 0, -7e-4]), np.append(y, [0, -1e-3, 2e-3])


def earth_centred(latitude, longitude) -> np.ndarray:
    """Place on the ellipsoid by the prime vertical radius of curvature, (3, place) [km]."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    prime = A * A / np.hypot(A * np.cos(phi), B * np.sin(phi))
    return np.array([prime * np.cos(phi) * np.cos(lam), prime * np.cos(phi) * np.sin(lam), prime * (B / A) ** 2 * np.sin(phi)])


def neighbours(seen: Look) -> tuple[np.ndarray, np.ndarray]:
    """Distances between successive pixels, on the ground and on the map [km]."""
    ground = np.linalg.norm(np.diff(earth_centred(seen.latitude, seen.longitude)), axis=0)
    return ground, np.hypot(np.diff(seen.along), np.diff(seen.across))


# ------------------------------------------------------------------------------------------------------------ the ground


@pytest.mark.parametrize("platform", [AFTERNOON, MORNING])
@pytest.mark.parametrize("latitude", [-70.0, -30.0, 0.0, 4.0, 45.0, 80.0])
def test_the_optical_axis_meets_the_ground_at_the_sub_satellite_point_and_along_its_normal(platform, latitude):
    axis = look(over(latitude, 33.0, platform), AXIS, AXIS, lowest=-1)
    assert axis.latitude == pytest.approx(latitude, abs=1e-9)
    assert axis.longitude == pytest.approx(33, abs=1e-9)
    assert axis.mu == pytest.approx(1, abs=1e-15)
    assert (axis.along, axis.across) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("latitude", [-60.0, 0.0, 25.0, 81.0])
def test_the_line_of_sight_ends_on_the_ellipsoid_under_the_field_angle_of_its_pixel(latitude):
    # independent: radius of curvature of the prime vertical, a² / √(a² cos²φ + b² sin²φ), instead of the quadric
    overpass = over(latitude)
    x, y = field()
    seen = look(overpass, x, y, lowest=-1)
    sight = earth_centred(seen.latitude, seen.longitude) - attitude(overpass).position[:, None]
    distance = np.linalg.norm(sight, axis=0)
    vertical = -earth_centred(latitude, 0) * [1 / A**2, 1 / A**2, 1 / B**2]
    tangent = np.hypot(x, y)[seen.seen]
    assert sight.T @ vertical / np.linalg.norm(vertical) == pytest.approx(distance / np.sqrt(1 + tangent**2), rel=1e-9)
    assert distance.min() > 705


def test_over_the_equator_the_view_angle_obeys_the_law_of_sines():
    # the section of the ellipsoid by the plane of the equator is a circle of radius a
    overpass = over(0.0)
    state = attitude(overpass)
    east = state.axes @ [0, 1, 0]
    tangent = np.linspace(-1.5, 1.5, 31)
    seen = look(overpass, tangent * east[0], tangent * east[1])
    theta = np.arctan(tangent)
    vza = np.arcsin((A + 705) / A * np.sin(theta))
    assert seen.mu == pytest.approx(np.cos(vza), abs=1e-12)
    assert seen.longitude == pytest.approx(np.degrees(vza - theta), abs=1e-9)
    assert seen.latitude == pytest.approx(0, abs=1e-9)


def test_the_satellite_keeps_its_distance_to_the_centre_of_the_flattened_earth():
    # its height above the ground is then least over the equator, by the difference of the semi-axes
    polar = AFTERNOON.model_copy(update={"inclination": 90.0})
    heights = [np.linalg.norm(attitude(over(lat, 0.0, polar)).position - earth_centred(lat, 0)) for lat in (0.0, 89.999)]
    assert heights == pytest.approx([705, A + 705 - B], abs=1e-6)


def test_seen_from_above_the_pole_a_circle_of_pixels_is_a_parallel():
    polar = AFTERNOON.model_copy(update={"inclination": 90.0})
    azimuth = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = look(over(89.99999, 0.0, polar), np.cos(azimuth), np.sin(azimuth), lowest=-1)
    assert np.ptp(ring.latitude) < 1e-4
    assert np.ptp(ring.mu) < 1e-6


def test_the_swath_is_that_of_the_mission():
    # CEOS data base, instrument 751: about 1600 km; the field is a pincushion on the ground, widest at its ends
    x, y = np.array([-EDGE_X, EDGE_X, -EDGE_X, EDGE_X, 0, 0]), np.array([0, 0, EDGE_Y, EDGE_Y, -EDGE_Y, EDGE_Y])
    across, along = look(over(4.0), x, y).across, look(over(4.0), x, y).along
    assert across[1] - across[0] == pytest.approx(1350, abs=10)
    assert across[3] - across[2] == pytest.approx(1520, abs=10)
    assert along[5] - along[4] == pytest.approx(1910, abs=10)
    near = look(over(4.0), *PLANE.coordinates(PLANE.size // 2 + PLANE.columns // 2 + np.array([0, PLANE.columns]))[:2])
    assert neighbours(near)[0] == pytest.approx(6.3, abs=0.1)  # pixels of 6 x 7 km in the level-1 manual


def test_pixels_that_miss_the_earth_or_see_it_in_the_dark_are_left_out():
    tangent = np.linspace(0, 4, 41)
    seen = look(over(4.0), tangent, 0 * tangent)
    horizon = np.tan(np.arcsin(A / (A + 705)))
    assert seen.seen.sum() == seen.mu.size == seen.turn[0].size == seen.zenith.shape[1]
    assert seen.mu.min() >= 0.05
    assert 0.9 * horizon < tangent[seen.seen].max() < horizon
    assert (seen.seen == (tangent <= tangent[seen.seen].max())).all()
    strict = look(over(4.0), tangent, 0 * tangent, lowest=0.3)
    assert 0.3 <= strict.mu.min() < 0.4
    night = Overpass(AFTERNOON, over(4.0).when + timedelta(hours=12), 4.0, 0.0)
    assert not look(night, *field()).seen.any()


# ------------------------------------------------------------------------------------------------------------ the orbit


def test_the_equator_is_crossed_at_the_mean_local_solar_time_of_the_orbit():
    for platform, hour in ((AFTERNOON, 13.5), (MORNING, 9.5)):
        for longitude in (-150.0, 0.0, 30.0, 180.0):
            when = passage(platform, SPRING, 0.0, longitude)
            assert when.date() == SPRING and when.tzinfo is UTC
            local = when.hour + when.minute / 60 + when.second / 3600 + longitude / 15
            assert (local - hour + 12) % 24 - 12 == pytest.approx(0, abs=3e-4)


@pytest.mark.parametrize(("platform", "day"), [(AFTERNOON, 1), (MORNING, -1)])
def test_the_satellite_flies_north_or_south_and_reaches_each_place_on_its_track_when_told(platform, day):
    # two roads: vectors turned in the plane of the orbit, and spherical trigonometry from the node
    start = over(40.0, 10.0, platform)
    for view in (-9, -1, 1, 14):
        axis = look(start, AXIS, AXIS, view, lowest=-1)
        latitude, longitude = float(axis.latitude[0]), float(axis.longitude[0])
        assert np.sign(latitude - 40) == day * np.sign(view)
        lapse = passage(platform, SPRING, latitude, longitude) - start.when
        assert lapse.total_seconds() == pytest.approx(view * platform.view_period, abs=1e-5)


def test_the_ground_passes_at_the_speed_of_the_orbit_and_of_the_turning_earth():
    # circular orbit over a sphere that turns beneath
    radius = A + 705
    north, east = (np.sqrt(398600.4418 / radius**3) * 6371 * f(98.2 * DEGREE) for f in (np.sin, np.cos))
    speed = np.hypot(north, east - 7.292115e-5 * 6371)
    axis = [look(over(0.0), AXIS, AXIS, view) for view in (0, 1)]
    step = np.linalg.norm(np.subtract(*(earth_centred(a.latitude, a.longitude) for a in axis)))
    assert step == pytest.approx(19.6 * speed, rel=0.007)  # flattening
    assert step == pytest.approx(134, abs=1)


def test_an_orbit_over_the_equator_is_at_its_node_everywhere():
    equatorial = AFTERNOON.model_copy(update={"inclination": 0.0})
    assert passage(equatorial, SPRING, 0.0, 60.0) == datetime(2006, 3, 21, 9, 30, tzinfo=UTC)
    eastward = look(over(0.0, 60.0, equatorial), AXIS, AXIS, view=1)
    assert eastward.latitude == pytest.approx(0, abs=1e-9) and eastward.longitude > 61


def test_a_latitude_that_the_orbit_does_not_reach_is_refused_in_one_sentence():
    with pytest.raises(Fault, match=r"latitude: an orbit inclined by 98\.2 deg passes up to 81\.8 deg, not over -85"):
        passage(AFTERNOON, SPRING, -85.0, 0.0)


# ------------------------------------------------------------------------------------------------------------ the sun


@pytest.mark.parametrize(
    ("latitude", "longitude", "when", "zenith", "azimuth"),
    [
        # astropy 8.0.2, get_sun transformed to AltAz without pressure: geocentric ephemeris, light time, IAU 2006 precession
        (4.0, 0.0, "2006-03-21T13:33:00", 21.7503, 260.7684),
        (43.6, 1.44, "2010-06-21T13:10:00", 25.2574, 223.0101),
        (-33.0, 151.2, "2007-12-22T03:40:00", 25.2534, 285.3654),
        (70.0, -40.0, "2013-05-01T15:20:00", 55.1558, 192.6589),
        (-10.0, -60.0, "2026-10-15T13:20:00", 35.9710, 90.9709),
        (60.0, 100.0, "2025-03-05T03:05:00", 72.0194, 141.4110),
    ],
)
def test_the_sun_stands_where_the_ephemeris_says(latitude, longitude, when, zenith, azimuth):
    sun = sun_direction(datetime.fromisoformat(when).replace(tzinfo=UTC))
    phi, lam = np.radians([latitude, longitude])
    up = np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    east = np.array([-np.sin(lam), np.cos(lam), 0])
    north = np.cross(up, east)
    assert np.degrees(np.arccos(sun @ up)) == pytest.approx(zenith, abs=0.01)
    assert np.degrees(np.arctan2(sun @ east, sun @ north)) % 360 == pytest.approx(azimuth, abs=0.02)  # 0.01° / sin zenith


@pytest.mark.parametrize(
    ("when", "declination"),
    [
        # instants of the US Naval Observatory, "Earth's seasons" 2006: equinoxes and solstices
        ("2006-03-20T18:26:00", 0.0),
        ("2006-06-21T12:26:00", 23.4385),
        ("2006-09-23T04:03:00", 0.0),
        ("2006-12-22T00:22:00", -23.4385),
    ],
)
def test_the_sun_crosses_the_equator_at_the_equinoxes_and_turns_at_the_solstices(when, declination):
    sun = sun_direction(datetime.fromisoformat(when).replace(tzinfo=UTC))
    assert np.linalg.norm(sun) == pytest.approx(1, abs=1e-14)
    assert np.degrees(np.arcsin(sun[2])) == pytest.approx(declination, abs=0.01)


def test_the_solar_zenith_angle_of_the_pixels_spreads_with_the_ground_they_see():
    x, y = field()
    seen = look(over(4.0), x, y)
    sun = sun_direction(over(4.0).when)
    phi, lam = np.radians(seen.latitude), np.radians(seen.longitude)
    mu0 = sun @ [np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)]
    assert seen.mu0 == pytest.approx(mu0, abs=1e-12)
    assert np.ptp(seen.angles()["sza"]) > 10


# ------------------------------------------------------------------------------------------------------------ handedness


def test_a_passenger_who_flies_north_and_looks_down_has_the_west_on_the_left_where_x_grows():
    right, up = look(over(0.0), np.array([0.0, 0.3]), np.zeros(2)), look(over(0.0), np.zeros(2), np.array([0.0, 0.3]))
    assert right.longitude[1] < -1  # +x: left of the flight, west
    assert right.across[1] > 100 and abs(right.along[1]) < 5
    assert up.latitude[1] > 1  # +y: ahead, north
    assert up.along[1] > 100 and abs(up.across[1]) < 5
    southward = look(over(0.0, 0.0, MORNING), np.array([0.0, 0.3]), np.array([0.0, 0.3]))
    assert southward.longitude[1] > 1 and southward.latitude[1] < -1


def test_the_heading_turns_the_image_from_the_flight_towards_x():
    x, y = field()
    turned = over(10.0, 0.0, AFTERNOON.model_copy(update={"heading": 90.0}))
    seen, straight = look(turned, x, y), look(over(10.0), y, -x)  # +y now looks to the left, where +x was
    assert seen.latitude == pytest.approx(straight.latitude, abs=1e-9)
    assert seen.longitude == pytest.approx(straight.longitude, abs=1e-9)
    assert seen.along == pytest.approx(straight.along, abs=1e-6)
    before = attitude(turned).axes
    assert np.linalg.det(before) == pytest.approx(1, abs=1e-14)
    assert before @ before.T == pytest.approx(np.eye(3), abs=1e-14)


@pytest.mark.parametrize("platform", [AFTERNOON, MORNING])
def test_the_glint_is_on_the_side_of_the_sun_where_the_view_angle_equals_the_solar_angle(platform):
    # west in the afternoon and east in the morning: left of a flight to the north, and left of a flight to the south
    overpass = over(4.0, 0.0, platform)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-0.9, 0.9, 301), np.linspace(-1.2, 1.2, 401)))
    seen = look(overpass, x, y)
    angles = seen.angles()
    centre = int(angles["glint_angle"].argmin())
    assert angles["glint_angle"][centre] < 0.3
    assert angles["vza"][centre] == pytest.approx(angles["sza"][centre], abs=0.3)
    assert seen.phi[centre] == pytest.approx(0, abs=0.02)
    assert angles["relative_azimuth"][centre] == pytest.approx(180, abs=1.2)
    assert x[centre] > 0.2
    sun_longitude = np.degrees(np.arctan2(*sun_direction(overpass.when)[1::-1]))
    assert 0 < seen.longitude[centre] / sun_longitude < 1  # between the satellite and the point below the sun
    back = int(seen.cos_scattering.argmin())
    assert abs(seen.phi[back]) == pytest.approx(np.pi, abs=0.02) and x[back] < 0


def test_scattering_and_glint_angles_follow_the_zenith_angles_and_the_azimuth():
    seen = look(over(-20.0), *field())
    sines = np.sqrt((1 - seen.mu**2) * (1 - seen.mu0**2))
    assert seen.cos_scattering == pytest.approx(sines * np.cos(seen.phi) - seen.mu * seen.mu0, abs=1e-12)
    state = attitude(over(-20.0))
    x, y = (a[seen.seen] for a in field())
    sight = state.axes.T @ radial_frame(x, y)[0]
    up = state.axes.T @ seen.zenith
    mirrored = sight - 2 * (sight * up).sum(0) * up  # the ray that comes back from a flat sea
    angle = np.degrees(np.arccos(np.clip(mirrored.T @ state.sun, -1, 1)))
    assert seen.angles()["glint_angle"] == pytest.approx(angle, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.floats(-75, 75), st.floats(-180, 180), st.sampled_from([AFTERNOON, MORNING]), st.integers(-6, 6), st.floats(-180, 180))
def test_light_polarised_across_the_scattering_plane_is_so_in_both_frames(latitude, longitude, platform, view, heading):
    # independent: the electric vector sun × sight of Rayleigh scattering, split on the radial and tangential directions by
    # trigonometry and carried radially; against Q, U of the meridian frame by μ, μ₀, φ alone, then `turn`
    overpass = over(latitude, longitude, platform.model_copy(update={"heading": heading}))
    x, y = field(pixels=60)
    seen = look(overpass, x, y, view)
    x, y = x[seen.seen], y[seen.seen]
    sight = radial_frame(x, y)[0]
    _, q, u = stokes_of_fields([np.cross(seen.sun[:, None], sight, axis=0)], x, y)
    cosine, _, (cos2, sin2) = scattering_plane(seen.mu, -seen.mu0, seen.phi)
    across = -(1 - cosine**2)
    found = rotate(across * cos2, across * sin2, seen.turn)
    assert found[0] == pytest.approx(q, abs=1e-12)
    assert found[1] == pytest.approx(u, abs=1e-12)


@pytest.mark.parametrize("radius", [0.0, 1e-12, 1e-9, 1e-8, 3e-8, 1e-6, 1e-5])
def test_the_frames_agree_down_to_the_nadir_where_the_meridian_plane_is_lost(radius):
    azimuth = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    x, y = radius * np.cos(azimuth), radius * np.sin(azimuth)
    seen = look(over(12.0), x, y)
    _, q, u = stokes_of_fields([np.cross(seen.sun[:, None], radial_frame(x, y)[0], axis=0)], x, y)
    cosine, _, (cos2, sin2) = scattering_plane(seen.mu, -seen.mu0, seen.phi)
    found = rotate((cosine**2 - 1) * cos2, (cosine**2 - 1) * sin2, seen.turn)
    assert np.array(found) == pytest.approx(np.array([q, u]), abs=3e-8)  # √ of the rounding: the best of either plane


def test_over_a_sphere_the_meridian_plane_is_radial_in_the_focal_plane(monkeypatch):
    # the zenith of the pixel, the centre of the Earth and the optical axis are in one plane
    monkeypatch.setattr(acquisition, "SEMI_AXES", np.full(3, 6371.0088))
    x, y = field()
    seen = look(over(30.0), x, y)
    assert np.array(seen.turn) == pytest.approx(np.array(double_azimuth(x, y)), abs=1e-12)


@pytest.mark.parametrize(("latitude", "largest"), [(0.0, 0.05), (45.0, 0.03), (70.0, 0.01)])
def test_over_the_ellipsoid_the_meridian_plane_is_radial_to_a_twentieth_of_a_degree(latitude, largest):
    x, y = field()
    seen = look(over(latitude), x, y)
    cos2, sin2 = double_azimuth(x[seen.seen], y[seen.seen])
    error = np.degrees(np.arctan2(seen.turn[1] * cos2 - seen.turn[0] * sin2, (seen.turn * np.array([cos2, sin2])).sum(0))) / 2
    assert largest / 2 < np.abs(error).max() < largest  # the axis along the local normal: none at the nadir, little beside it


# ------------------------------------------------------------------------------------------------------------ the views


@pytest.mark.parametrize("view", [-7, 0, 5])
def test_a_target_is_found_back_in_the_pixel_that_sees_it(view):
    x, y = field()
    seen = look(over(50.0, -120.0), x, y, view, lowest=-1)
    found_x, found_y = place(over(50.0, -120.0), seen.latitude, seen.longitude, view)
    assert found_x == pytest.approx(x, abs=1e-9)
    assert found_y == pytest.approx(y, abs=1e-9)


def test_a_target_below_the_horizon_is_in_no_pixel():
    # from 705 km the horizon is at arccos(a / (a + 705 km)) = 25.8°
    x, y = place(over(0.0), np.array([0.0, 25.5, 26.1, 0.0]), np.array([5.0, 0.0, 0.0, 179.0]))
    assert np.isnan(x).tolist() == np.isnan(y).tolist() == [False, False, True, True]


def test_a_target_marches_along_the_rows_and_is_seen_under_fourteen_to_sixteen_angles():
    overpass, target = over(4.0), (np.array([4.3]), np.array([-1.0]))
    angles, rows, maps = [], [], []
    for view in range(-12, 13):
        x, y = place(overpass, *target, view)
        if abs(x[0]) <= EDGE_X and abs(y[0]) <= EDGE_Y:
            seen = look(overpass, x, y, view)
            rows.append(y[0] * PLANE.focal_length / PLANE.pitch_row)
            angles.append(seen.angles()["scattering_angle"][0])
            maps.append((seen.along[0], seen.across[0]))
    assert 14 <= len(rows) <= 16
    assert (np.diff(rows) < 0).all()  # the ground comes in ahead, at +y, and leaves behind
    assert np.diff(rows)[len(rows) // 2] == pytest.approx(-134 / 6.25, abs=1)
    assert np.ptp(angles) > 30
    assert np.ptp(maps, axis=0) == pytest.approx(0, abs=1e-6)  # one map for all views


@pytest.mark.parametrize("latitude", [0.0, 40.0, 70.0])
def test_yaw_steering_lets_the_ground_pass_along_the_columns_though_the_earth_turns(latitude):
    # without it the ground would drift by up to 4°, the ratio of the speeds of the equator and of the satellite
    overpass = over(latitude)
    following = look(overpass, AXIS, AXIS, view=1)
    x, y = place(overpass, following.latitude, following.longitude)
    assert y > 0.15
    assert np.degrees(np.arctan2(x, y)) == pytest.approx(0, abs=0.2)


def test_the_map_keeps_lengths_on_the_track_and_stretches_them_along_it_away_from_it():
    y = np.linspace(-1.2, 1.2, 25)
    ground, drawn = neighbours(look(over(35.0), 0 * y, y))
    assert drawn / ground == pytest.approx(1, abs=0.006)
    beside = look(over(35.0), 0 * y + 1.2, y)
    ground, drawn = neighbours(beside)
    lengthwise = 1 / np.cos(beside.across / 6371)
    assert beside.across.min() > 900
    assert (drawn / ground < lengthwise.max() + 0.006).all() and (drawn / ground > 1.002).all()
    x = np.linspace(-1.2, 1.2, 25)
    ground, drawn = neighbours(look(over(35.0), x, 0 * x))
    assert drawn / ground == pytest.approx(1, abs=0.006)
