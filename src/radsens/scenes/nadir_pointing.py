"""Place in the field of a target, from the angles at which it is seen, for a platform that points at the nadir.

The Earth is a sphere, the optical axis points at its centre, and the satellite flies along the great circle through the
places from which the target is first and last seen, in a frame that turns with the Earth. So the angles of one target
suffice: the azimuth may be counted from any direction, and that of the sun will do.
"""

import numpy as np

from radsens.instrument import DEGREE, dot
from radsens.scenes.analytic import EARTH_RADIUS

SHORTEST = 1e-3
"""Arc between the first and the last place of the satellite below which there is no flight direction: 6 km [rad] (assumed)."""


def field_position(
    zenith: np.ndarray, azimuth: np.ndarray, seen: np.ndarray, altitude: float, heading: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Focal-plane coordinates of targets that were seen in several views, the views in the order of time.

    The satellite stands above s = (sin γ cos A, sin γ sin A, cos γ) in the axes of the target (zenith last), with
    γ = v − arcsin(R sin v / (R + h)) the angle at the centre of the Earth. With n = s_first × s_last, it flies towards
    f = n × s; the instrument has its axis z = −s, and +y at the heading H from f towards x₀ = f × z. The target is seen along
    d = e_z − (1 + h/R) s:   x = d·x̂ / d·ẑ,   y = d·ŷ / d·ẑ.   (plane and spherical trigonometry)

    Parameters
    ----------
    zenith, azimuth : (target, view) of the satellite seen from the target; the azimuth turns from the first axis of the
        target towards the second, anticlockwise seen from above [deg]
    seen : (target, view) whether the angles have a value
    altitude : of the satellite, h [km]
    heading : from the flight direction to +y of the focal plane, positive towards +x, H [deg]

    Returns
    -------
    x, y : (target, view), in units of the focal length; 0 where not known [1]
    known : (target, view) whether the target was seen, and from places far enough apart to tell the flight direction
    """
    v, a = (np.where(seen, angle, 0.0) * DEGREE for angle in (zenith, azimuth))
    gamma = v - np.arcsin(np.sin(v) / (1 + altitude / EARTH_RADIUS))
    s = np.stack([np.sin(gamma) * np.cos(a), np.sin(gamma) * np.sin(a), np.cos(gamma)])
    first, last = np.argmax(seen, axis=1), seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)
    target = np.arange(len(seen))
    pole = np.cross(s[:, target, first], s[:, target, last], axis=0)
    arc = np.sqrt(dot(pole, pole))
    known = seen & (arc > SHORTEST)[:, None]
    pole = pole / np.where(arc > SHORTEST, arc, 1.0)
    axes = _axes(s, pole[:, :, None], heading * DEGREE)
    sight = np.stack([np.zeros_like(v), np.zeros_like(v), np.ones_like(v)]) - (1 + altitude / EARTH_RADIUS) * s
    x, y, z = (dot(sight, axis) for axis in axes)
    return np.where(known, x / z, 0.0), np.where(known, y / z, 0.0), known


def _axes(s: np.ndarray, pole: np.ndarray, heading: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes x, y and z of the instrument above the places s, (3, target, view) each."""
    z = -s
    flight = np.cross(np.broadcast_to(pole, s.shape), s, axis=0)
    flight = flight / np.maximum(np.sqrt(dot(flight, flight)), SHORTEST)
    right = np.cross(flight, z, axis=0)
    y = flight * np.cos(heading) + right * np.sin(heading)
    return np.cross(y, z, axis=0), y, z
