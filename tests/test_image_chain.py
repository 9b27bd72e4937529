"""From the orbit to Q and U of a pixel by another road: places, electric vectors and a lens, without angles or matrices.

Nothing here comes from `radsens.scenes.acquisition` or `radsens.transfer`: satellite, sun and ground are placed by vectors from
the centre of the Earth; sunlight is two electric vectors, which a dipole scatters and a facet reflects; the lens turns what
arrives about the axis that brings the ray to the optical axis.
"""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter

from radsens import instrument as instruments
from radsens.scenes import SceneSpec, render
from radsens.scenes.acquisition import passage

A, B = 6378.137, 6356.752314245  # WGS84 [km]
SPIN = 2 * np.pi / 86164.0905  # sidereal day [s]
SPEC = TypeAdapter(SceneSpec)
DEPTH = 1e-4  # of thin air [1]
EVERY = 4  # images from one view to the next
SEA_WATER = {"670P": 1.3375, "865P": 1.3339}  # 34 g of salt per kg at 15 °C (Quan & Fry 1995)
DARK = {"kind": "lambertian", "albedo": 0.0}
FLAT = {"kind": "ocean", "wind_speed": 7.0, "shadowing": False, "foam": False, "water_leaving": False}
PASSES = [
    ("parasol", "670P", 24.0, 100.0, 0.0, "2006-03-21"),
    ("parasol", "670P", -38.0, -20.0, 25.0, "2006-11-05"),
    ("3mi", "865P", 47.0, 12.0, 0.0, "2026-06-21"),
    ("3mi", "865P", -12.0, 170.0, -40.0, "2026-09-10"),
]


def unit(vector):
    return vector / np.linalg.norm(vector)


def about(axis, angle, vector):
    """A vector turned about an axis (Rodrigues)."""
    c, s = np.cos(angle), np.sin(angle)
    return c * vector + s * np.cross(axis, vector) + (1 - c) * (axis @ vector) * axis


def to_the_sun(when):
    """Earth-fixed direction of the sun, by the declination and the equation of time (Meeus 1998, chapters 25 and 28)."""
    t = (when.timestamp() / 86400 + 2440587.5 - 2451545) / 36525
    mean, anomaly = np.radians(280.46646 + 36000.76983 * t), np.radians(357.52911 + 35999.05029 * t)
    centre = 1.914602 * np.sin(anomaly) + 0.019993 * np.sin(2 * anomaly) + 0.000289 * np.sin(3 * anomaly)
    longitude, tilt = mean + np.radians(centre - 0.00569), np.radians(23.439291 - 0.0130042 * t)
    declination = np.arcsin(np.sin(tilt) * np.sin(longitude))
    ascension = np.arctan2(np.cos(tilt) * np.sin(longitude), np.cos(longitude))
    equation = (mean - np.radians(0.0057183) - ascension + np.pi) % (2 * np.pi) - np.pi
    subsolar = np.pi - 2 * np.pi * (when.timestamp() % 86400) / 86400 - equation
    c = np.cos(declination)
    return np.array([c * np.cos(subsolar), c * np.sin(subsolar), np.sin(declination)])


def satellite(platform, when, latitude, longitude, seconds):
    """Place, the axes x, y, z of the focal plane, and the sun, `seconds` after the satellite stood above a place [deg]."""
    phi, lam = np.radians([latitude, longitude])
    normal = np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    foot = normal * [A * A, A * A, B * B] / np.sqrt(normal**2 @ [A * A, A * A, B * B])
    heights = np.linspace(platform.altitude - 5, platform.altitude + 40, 3)
    for _ in range(60):  # height at which the distance to the centre is that of the orbit
        heights[1] = (heights[0] + heights[2]) / 2
        heights[0 if np.linalg.norm(foot + heights[1] * normal) < A + platform.altitude else 2] = heights[1]
    start = foot + heights[1] * normal
    # of the two orbital planes through this place with this inclination, the one that climbs or falls
    east, up = unit(np.cross([0, 0, 1], start)), unit(start)
    course = np.arccos(np.cos(np.radians(platform.inclination)) / np.hypot(up[0], up[1]))  # from east to north
    flight = about(up, course if platform.passing == "ascending" else -course, east)
    pole, rate = np.cross(up, flight), np.sqrt(398600.4418 / (A + platform.altitude) ** 3)
    place, later = (about(np.array([0, 0, 1.0]), -SPIN * s, about(pole, rate * s, start)) for s in (seconds, seconds + 0.01))
    down = -unit(place / [A * A, A * A, B * B])
    for _ in range(20):  # perpendicular to the ellipsoid below
        under = -down * [A * A, A * A, B * B] / np.sqrt(down**2 @ [A * A, A * A, B * B])
        down = -unit((place - (under - place) @ down * -down) / [A * A, A * A, B * B])
    ahead = unit((later - place) - (later - place) @ down * down)
    left = np.cross(ahead, down)
    y = about(down, -np.radians(platform.heading), ahead)
    assert y @ left == pytest.approx(np.sin(np.radians(platform.heading)), abs=1e-9)  # towards where x was
    return place, (np.cross(y, down), y, down), to_the_sun(when + timedelta(seconds=seconds))


def through_the_lens(fields, sight, axes):
    """I, Q, U of electric vectors across the ray, each turned with the ray until it hits the focal plane squarely."""
    x, y, z = axes
    hinge, out = np.cross(sight, z), np.zeros(3)
    angle = np.arcsin(np.linalg.norm(hinge))
    for field in fields:
        turned = about(unit(hinge), angle, field)
        assert abs(turned @ z) < 1e-9 * np.linalg.norm(field) + 1e-15
        ex, ey = turned @ x, turned @ y
        out += ex * ex + ey * ey, ex * ex - ey * ey, 2 * ex * ey
    return out


def sunlight(sun):
    """Two electric vectors across the beam, of intensity 1 together."""
    first = unit(np.cross(sun, [0.2, 0.5, -0.9]))
    return [first / np.sqrt(2), np.cross(sun, first) / np.sqrt(2)]


def air(sun, sight, zenith):
    """πL/E₀ of thin air as electric vectors: dipoles, whose energy across the ray is 2/3 on average, and what is not polarised.

    Of a depolarisation ρ the part (1 − ρ)/(1 + ρ/2) are dipoles, the rest is sent to all sides alike (Hansen & Travis 1974,
    equation 2.15), ρ = 0.0279 (Young 1980).
    """
    dipoles = (1 - 0.0279) / (1 + 0.0279 / 2)
    once = DEPTH / (4 * -(sight @ zenith))
    scattered = [np.sqrt(1.5 * dipoles * once) * (e - (e @ sight) * sight) for e in sunlight(sun)]
    return scattered + [np.sqrt((1 - dipoles) * once) * e for e in sunlight(sight)]


def sea(sun, sight, zenith, wind, index):
    """πL/E₀ of Cox and Munk's facets as electric vectors: each reflects the sun by Fresnel's amplitudes."""
    facet = unit(sun - sight)
    steep = 1 / (facet @ zenith) ** 2 - 1
    variance = 0.003 + 0.00512 * wind
    density = np.exp(-steep / variance) / (np.pi * variance)
    amount = np.pi * density / (4 * -(sight @ zenith) * (facet @ zenith) ** 4)
    c = facet @ sun
    inside = np.sqrt(1 - (1 - c * c) / index**2)
    rs, rp = (c - index * inside) / (c + index * inside), (index * c - inside) / (index * c + inside)
    across = unit(np.cross(sun, facet))
    before, after = np.cross(across, sun), np.cross(across, sight)
    return [np.sqrt(amount) * (rs * (e @ across) * across + rp * (e @ before) * after) for e in sunlight(sun)]


def image(given, surface, depth):
    """The tool's scene of three views for an instrument whose air is as thin as asked, turned by a heading."""
    name, band, latitude, longitude, heading, day = given
    shipped = instruments.load(name)
    bands = tuple(b.model_copy(update={"rayleigh_optical_thickness": depth}) for b in shipped.bands)
    platform = shipped.platform.model_copy(update={"heading": heading})
    instrument = shipped.model_copy(update={"bands": bands, "platform": platform})
    acquisition = {"date": day, "latitude": latitude, "longitude": longitude, "views": 3, "every": EVERY, "step": 61}
    spec = {"kind": "clear_ocean", "acquisition": acquisition, "surface": surface, "aerosols": [], "accuracy": "reduced"}
    (scene,) = render(SPEC.validate_json(json.dumps(spec)), instrument, [band])
    return instrument, scene


def expected(given, instrument, scene, source):
    """I, Q, U (3, pixel) of the same pixels, by electric vectors."""
    _, band, latitude, longitude, _, day = given
    plane, platform = instrument.detector(band).focal_plane, instrument.platform
    when = passage(platform, date.fromisoformat(day), latitude, longitude)
    lapses = [(view - 1) * EVERY * platform.view_period for view in range(3)]
    views = [satellite(platform, when, latitude, longitude, lapse) for lapse in lapses]
    out = np.empty((3, scene.detector.size))
    for n, (element, view) in enumerate(zip(scene.detector, scene.view, strict=True)):
        place, axes, sun = views[view]
        row, column = divmod(int(element), plane.columns)
        x = (column - (plane.columns - 1) / 2) * plane.pitch_column / plane.focal_length
        y = (row - (plane.rows - 1) / 2) * plane.pitch_row / plane.focal_length
        sight = unit(x * axes[0] + y * axes[1] + axes[2])
        scaled, ray = place / [A, A, B], sight / [A, A, B]
        near = min(np.roots([ray @ ray, 2 * scaled @ ray, scaled @ scaled - 1]).real)
        zenith = unit((place + near * sight) / [A * A, A * A, B * B])
        out[:, n] = through_the_lens(source(sun, sight, zenith), sight, axes)
    return out


@pytest.mark.parametrize("given", PASSES)
def test_thin_air_sends_the_light_of_dipoles_to_each_pixel_of_each_view(given):
    instrument, scene = image(given, DARK, DEPTH)
    wanted = expected(given, instrument, scene, air)
    # what scatters twice or is dimmed: the depth times an air mass of 10
    np.testing.assert_allclose(scene.stokes / wanted[0], wanted / wanted[0], atol=1e-3)
    assert np.abs(wanted[1:] / wanted[0]).max(1).min() > 0.2


@pytest.mark.parametrize("given", PASSES)
def test_the_sea_sends_the_light_of_its_facets_to_each_pixel_of_each_view(given):
    instrument, scene = image(given, FLAT, 1e-9)
    wanted = expected(given, instrument, scene, lambda *where: sea(*where, FLAT["wind_speed"], SEA_WATER[given[1]]))
    np.testing.assert_allclose(scene.stokes, wanted, atol=1e-3 * wanted[0].max())
    assert np.abs(wanted).max(1).min() > 0.01
