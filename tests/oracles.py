"""Independent roads to the polarisation of a pixel: trigonometry and electric vectors, where the code has neither."""

import numpy as np


def polarisation(stokes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DoLP [1] and AoLP [rad] of I, Q, U over the first axis."""
    i, q, u = stokes
    return np.hypot(q, u) / i, 0.5 * np.arctan2(u, q)


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Difference of two AoLP, in ]−π/2, π/2] [rad]."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2


def radial_frame(x, y) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Line of sight, radial and tangential unit vectors by trigonometry, (3, pixel) each."""
    phi, theta = np.arctan2(y, x), np.arctan(np.hypot(x, y))
    sight = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    radial = np.array([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)])
    return sight, radial, np.array([-np.sin(phi), np.cos(phi), 0 * phi])


def stokes_of_fields(fields: list[np.ndarray], x, y) -> np.ndarray:
    """I, Q, U in the focal plane of an incoherent sum of electric vectors (3, pixel), carried radially."""
    phi = np.arctan2(y, x)
    _, radial, tangential = radial_frame(x, y)
    out = np.zeros((3, *np.shape(x)))
    for field in fields:
        along, around = (field * radial).sum(0), (field * tangential).sum(0)
        ex, ey = along * np.cos(phi) - around * np.sin(phi), along * np.sin(phi) + around * np.cos(phi)
        out += ex * ex + ey * ey, ex * ex - ey * ey, 2 * ex * ey
    return out


def unpolarised_beam(sun: np.ndarray) -> list[np.ndarray]:
    """Two orthogonal electric vectors across the beam of the sun, (3, 1) each."""
    first = np.cross(sun, [0.3, -0.5, 0.8])
    first /= np.linalg.norm(first)
    return [first[:, None], np.cross(sun, first)[:, None]]
