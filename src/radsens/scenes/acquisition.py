"""Where the pixels of a wide-field imager look: from the focal plane to the ground, for each view of an overpass.

The satellite flies a circular Keplerian orbit over a rotating Earth, an ellipsoid (WGS84) without relief; refraction is
neglected. The optical axis points along the normal of the ellipsoid, and a yaw steering keeps the image aligned with the
ground track, as on Metop (EUMETSAT, EPS-PG appendix B: local normal pointing and yaw steering mode): `heading` is the angle
from the velocity relative to the Earth to +y of the focal plane, towards +x. With z to the ground and x × y = z, +x is on
the left of the flight when the heading is 0.

All vectors are Earth-fixed (x to 0° N 0° E, z to the north pole) unless a docstring says "in the axes of the instrument".
The precession of the orbital plane, 1° a day, is neglected within an overpass.

References
----------
Astronomical Almanac, page C5 (C24 until 2010), low-precision formulas for the Sun: 0.01° from 1950 to 2050.
Meeus, J. (1998), Astronomical Algorithms, 2nd ed., equation 12.4: sidereal time at Greenwich.
National Imagery and Mapping Agency (2000), TR8350.2, 3rd ed.: WGS84, semi-axes, GM and rotation of the Earth.
Snyder, J. P. (1987), Map Projections: A Working Manual, USGS PP 1395, page 92: Cassini projection.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from radsens.instrument import DEGREE, Platform, dot, frame_turn, line_of_sight
from radsens.schema import Fault

SEMI_AXES = np.array([6378.137, 6378.137, 6356.7523142])  # WGS84 [km]
MEAN_RADIUS = 6371.0088  # (2a + b) / 3 of WGS84 [km]
GM = 398600.4418  # WGS84 [km³/s²]
ROTATION = 7.292115e-5  # WGS84 [rad/s]
EPOCH = datetime(2000, 1, 1, 12, tzinfo=UTC)

LOWEST = 0.05
"""Smallest cosine of a zenith angle for which the atmosphere is taken as plane parallel, 3° above the horizon [1]."""

VERTICAL = 1e-16
"""Square of the sine of a view angle below which rounding, 1e-16, turns the meridian plane more than calling it 0 does [1]."""


@dataclass(frozen=True)
class Overpass:
    """A passage of the satellite, whose middle view is taken straight above a place.

    Attributes
    ----------
    platform : orbit and heading
    when : time of the middle view, UTC, with its time zone
    latitude, longitude : sub-satellite point of the middle view, geodetic [deg]
    """

    platform: Platform
    when: datetime
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Attitude:
    """Place and axes of the instrument during one view.

    Attributes
    ----------
    position : (3,) place of the satellite [km]
    axes : (3, 3) the unit vectors x, y and z of the instrument, one per row
    sun : (3,) unit vector to the sun
    """

    position: np.ndarray
    axes: np.ndarray
    sun: np.ndarray


@dataclass(frozen=True)
class Look:
    """What the pixels that see sunlit ground look at; `pixel` counts these only.

    Attributes
    ----------
    seen : (asked,) whether each pixel asked for sees ground, well above the horizon, where the sun is up
    latitude, longitude : (pixel,) geodetic [deg]
    along, across : (pixel,) coordinates on the map of the overpass, the same for all views (see `ground_map`) [km]
    mu, mu0 : (pixel,) cosines of the view and solar zenith angles, from the normal of the ellipsoid [1]
    phi : (pixel,) azimuth of propagation of the light seen, minus that of sunlight, anticlockwise from above: 0 forward,
        where the glint is, ±π with the sun behind [rad]
    cos_scattering : (pixel,) cosine of the scattering angle [1]
    turn : cos 2ψ and sin 2ψ, (pixel,) each, for `instrument.rotate`: from the meridian frame to the focal plane [1]
    zenith, sun : (3, pixel), (3,) unit vectors to the local zenith and to the sun, in the axes of the instrument [1]
    """

    seen: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    along: np.ndarray
    across: np.ndarray
    mu: np.ndarray
    mu0: np.ndarray
    phi: np.ndarray
    cos_scattering: np.ndarray
    turn: tuple[np.ndarray, np.ndarray]
    zenith: np.ndarray
    sun: np.ndarray

    def angles(self) -> dict[str, np.ndarray]:
        """Angles for drawing and analysis, (pixel,) each [deg]; the azimuth from sun to instrument is 180 in the glint."""
        sines = np.sqrt((1 - self.mu * self.mu) * (1 - self.mu0 * self.mu0))
        cosines = {
            "sza": self.mu0,
            "vza": self.mu,
            "scattering_angle": self.cos_scattering,
            "glint_angle": self.mu * self.mu0 + sines * np.cos(self.phi),
        }
        angles = {name: np.arccos(np.clip(cosine, -1, 1)) / DEGREE for name, cosine in cosines.items()}
        return {**angles, "relative_azimuth": 180 - np.abs(self.phi) / DEGREE}


def passage(platform: Platform, day: date, latitude: float, longitude: float) -> datetime:
    """UTC time of the day `day` at which a sun-synchronous satellite passes over a place [deg], in its direction of passing.

    The orbit crosses the equator at the mean local solar time of the platform. From there to the argument of latitude u,
    sin u = sin φ' / sin i, it takes u / n and turns by Δα = atan2(cos i sin u, cos u) in right ascension, φ' being the
    geocentric latitude of the satellite and i the inclination. The ground turns meanwhile.
    """
    centre = _above(platform, latitude, longitude)
    radius = float(np.linalg.norm(centre))
    inclination, height = DEGREE * platform.inclination, centre[2] / radius
    u = _climb(platform) * np.arctan2(height, np.sqrt(max(np.sin(inclination) ** 2 - height * height, 0.0)))
    elapsed = u / mean_motion(radius)
    ascension = np.arctan2(np.cos(inclination) * np.sin(u), np.cos(u))
    node = longitude - (ascension - ROTATION * elapsed) / DEGREE
    hours = (platform.local_time - node / 15 + elapsed / 3600) % 24
    return datetime.combine(day, time(tzinfo=UTC)) + timedelta(hours=float(hours))


def attitude(overpass: Overpass, view: int = 0) -> Attitude:
    """Place and axes of the instrument, `view` images after the middle one (before it when negative)."""
    flight = _flight(overpass, view)
    left, ahead, down = flight.axes
    heading = DEGREE * overpass.platform.heading
    x = np.cos(heading) * left - np.sin(heading) * ahead
    y = np.sin(heading) * left + np.cos(heading) * ahead
    return Attitude(flight.position, np.stack([x, y, down]), flight.sun)


def look(overpass: Overpass, x: np.ndarray, y: np.ndarray, view: int = 0, *, lowest: float = LOWEST) -> Look:
    """Geometry of the pixels at focal-plane coordinates `x`, `y` (asked,) [1], `view` images after the middle one.

    Pixels that miss the Earth, or for which μ or μ₀ is below `lowest`, are left out: `seen` says which remain.
    """
    state = attitude(overpass, view)
    ground, hit = _ground(state.position, state.axes.T @ line_of_sight(x, y))
    normal = _normal(ground)
    zenith = state.axes @ normal
    sun = state.axes @ state.sun
    seen = hit & (-dot(line_of_sight(x, y), zenith) >= lowest) & (dot(sun, zenith) >= lowest)
    x, y, normal, zenith = x[seen], y[seen], normal[:, seen], zenith[:, seen]
    sight = line_of_sight(x, y)
    mu, mu0 = np.minimum(-dot(sight, zenith), 1.0), np.minimum(dot(sun, zenith), 1.0)
    phi, axis = _azimuth(sight, sun, zenith)
    latitude, longitude = geodetic(normal)
    along, across = ground_map(overpass, normal)
    return Look(
        seen=seen,
        latitude=latitude,
        longitude=longitude,
        along=along,
        across=across,
        mu=mu,
        mu0=mu0,
        phi=phi,
        cos_scattering=dot(sun, sight),
        turn=frame_turn(axis, x, y),
        zenith=zenith,
        sun=sun,
    )


def place(overpass: Overpass, latitude: np.ndarray, longitude: np.ndarray, view: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Focal-plane coordinates at which targets on the ground (target,) [deg] are seen: the inverse of `look`.

    Returns
    -------
    x, y : (target,) focal-plane coordinates, not a number for a target below the horizon [1]
    """
    state = attitude(overpass, view)
    normal = _vertical(latitude, longitude)
    sight = _surface(normal) - state.position[:, None]
    x, y, depth = state.axes @ sight
    depth = np.where(dot(sight, normal) < 0, depth, np.nan)
    return x / depth, y / depth


def ground_map(overpass: Overpass, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of places on the ground on one map for the whole overpass: along and across track, (pixel,) each [km].

    The Cassini projection of the sphere of mean radius about the great circle that follows the ground track of the middle
    view: across = R asin(n·l), along = R atan2(n·a, −n·d), n being the normal of the ellipsoid (3, pixel) and l, a, d the
    directions left, ahead and down in that view. Lengths across the track, and on it, are true to 0.6 % (flattening); at the
    distance c from the track, lengths along it are too large by 1 / cos(c / R): 1.5 % at 1100 km. Continuous but on the
    other side of the Earth.
    """
    left, ahead, down = _flight(overpass, 0).axes @ normal
    return MEAN_RADIUS * np.arctan2(ahead, -down), MEAN_RADIUS * np.arcsin(np.clip(left, -1, 1))


def sun_direction(when: datetime) -> np.ndarray:
    """Unit vector to the sun at a time in UTC, (3,): Astronomical Almanac, within 0.01°; the sun is at infinity."""
    days = (when - EPOCH) / timedelta(days=1)
    mean_longitude, anomaly = DEGREE * (280.460 + 0.9856474 * days), DEGREE * (357.528 + 0.9856003 * days)
    longitude = mean_longitude + DEGREE * (1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = DEGREE * (23.439 - 4e-7 * days)
    equatorial = np.array([np.cos(longitude), np.cos(obliquity) * np.sin(longitude), np.sin(obliquity) * np.sin(longitude)])
    return _turned(equatorial, -DEGREE * (280.46061837 + 360.98564736629 * days))


def geodetic(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Geodetic latitude and longitude [deg] of unit normals of the ellipsoid, (3, pixel)."""
    return np.arctan2(normal[2], np.hypot(normal[0], normal[1])) / DEGREE, np.arctan2(normal[1], normal[0]) / DEGREE


def mean_motion(radius: float) -> float:
    """Angular rate of a circular orbit, √(GM / r³) for the radius r [km] [rad/s]; the flattening changes it by 0.1 %."""
    return float(np.sqrt(GM / radius**3))


def _flight(overpass: Overpass, view: int) -> Attitude:
    """Place of the satellite, and the unit vectors left, ahead and down: the instrument at a heading of 0."""
    platform, lapse = overpass.platform, view * overpass.platform.view_period
    start = _above(platform, overpass.latitude, overpass.longitude)
    radius = float(np.linalg.norm(start))
    rate = mean_motion(radius)
    upward, forward = start / radius, _forward(platform, start, overpass.longitude)
    c, s = np.cos(rate * lapse), np.sin(rate * lapse)
    position = _turned(radius * (c * upward + s * forward), -ROTATION * lapse)
    velocity = _turned(radius * rate * (c * forward - s * upward), -ROTATION * lapse)
    velocity = velocity - ROTATION * np.array([-position[1], position[0], 0.0])
    down = -_vertical_through(position)
    ahead = velocity - (velocity @ down) * down
    ahead = ahead / np.linalg.norm(ahead)
    sun = sun_direction(overpass.when + timedelta(seconds=lapse))
    return Attitude(position, np.stack([np.cross(ahead, down), ahead, down]), sun)


def _above(platform: Platform, latitude: float, longitude: float) -> np.ndarray:
    """Place of the satellite on its orbit, on the normal of the ellipsoid at a place [deg], (3,) [km].

    Raises
    ------
    Fault : the orbit does not pass over this latitude
    """
    normal = _vertical(latitude, longitude)
    foot = _surface(normal)
    radius, lever = SEMI_AXES[0] + platform.altitude, foot @ normal
    place = foot + (np.sqrt(lever * lever - foot @ foot + radius * radius) - lever) * normal
    highest = np.sin(DEGREE * platform.inclination)
    if abs(place[2]) > radius * highest:
        limit = np.arcsin(highest) / DEGREE
        raise Fault(
            f"scene.acquisition.latitude: an orbit inclined by {platform.inclination:g} deg passes up to {limit:.1f} deg,"
            f" not over {latitude:g}"
        )
    return place


def _forward(platform: Platform, position: np.ndarray, longitude: float) -> np.ndarray:
    """Direction of flight in the inertial axes that coincide with the Earth's, (3,): sin(azimuth) = cos i / cos φ'."""
    east = np.array([-np.sin(DEGREE * longitude), np.cos(DEGREE * longitude), 0.0])
    north = np.cross(position / np.linalg.norm(position), east)
    eastward = np.clip(np.cos(DEGREE * platform.inclination) * np.linalg.norm(position) / np.hypot(*position[:2]), -1, 1)
    return eastward * east + _climb(platform) * np.sqrt(1 - eastward * eastward) * north


def _climb(platform: Platform) -> int:
    return 1 if platform.passing == "ascending" else -1


def _ground(position: np.ndarray, sight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places where lines of sight (3, pixel) first meet the ellipsoid, and whether they do; the tangent's foot if not."""
    origin, ray = (position / SEMI_AXES)[:, None], sight / SEMI_AXES[:, None]
    square, half, rest = dot(ray, ray), dot(origin, ray), dot(origin, origin) - 1
    discriminant = half * half - square * rest
    distance = (-half - np.sqrt(np.maximum(discriminant, 0.0))) / square
    return position[:, None] + distance * sight, (discriminant > 0) & (half < 0)


def _azimuth(sight: np.ndarray, sun: np.ndarray, zenith: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth of propagation after minus before scattering (pixel,) [rad], and a vector of the meridian plane (3, pixel).

    A pixel seen from straight above has no meridian plane of its own; it is given the sun's, so that its azimuth is 0.
    """
    mu, mu0 = -dot(sight, zenith), dot(sun, zenith)
    before, after = mu0 * zenith - sun[:, None], -sight - mu * zenith
    sine = dot(np.cross(before, after, axis=0), zenith)
    vertical = dot(after, after) < VERTICAL
    phi = np.where(vertical, 0.0, np.arctan2(sine, dot(before, after)))
    return phi, np.where(vertical, sun[:, None], zenith)


def _vertical(latitude: np.ndarray | float, longitude: np.ndarray | float) -> np.ndarray:
    """Unit normals of the ellipsoid at geodetic places [deg], (3, …)."""
    phi, lam = DEGREE * np.asarray(latitude), DEGREE * np.asarray(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


def _vertical_through(position: np.ndarray) -> np.ndarray:
    """Normal of the ellipsoid that passes through a place above it (3,), by iteration on p + e² N n_z ẑ ∥ n.

    N = a / √(1 − e² n_z²); each turn divides the error by 1 / e² = 150.
    """
    square = 1 - (SEMI_AXES[2] / SEMI_AXES[0]) ** 2
    normal = position / np.linalg.norm(position)
    for _ in range(8):
        lift = square * SEMI_AXES[0] * normal[2] / np.sqrt(1 - square * normal[2] ** 2)
        normal = position + np.array([0.0, 0.0, lift])
        normal = normal / np.linalg.norm(normal)
    return normal


def _normal(ground: np.ndarray) -> np.ndarray:
    """Unit normals of the ellipsoid at its points, (3, pixel)."""
    gradient = ground / (SEMI_AXES * SEMI_AXES)[:, None]
    return gradient / np.sqrt(dot(gradient, gradient))


def _surface(normal: np.ndarray) -> np.ndarray:
    """Points of the ellipsoid with given unit normals, (3, …) [km]."""
    stretched = (normal.T * SEMI_AXES).T
    return (stretched.T * SEMI_AXES).T / np.sqrt(dot(stretched, stretched))


def _turned(vector: np.ndarray, angle: float) -> np.ndarray:
    """A vector (3,) turned about the axis of the Earth, eastwards by `angle` [rad]."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1], vector[2]])
