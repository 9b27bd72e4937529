"""How a scattering matrix, known in its scattering plane, acts on Stokes vectors of the meridian planes.

Directions are those of propagation: μ is the cosine to the zenith, positive upwards, φ the azimuth; light of the sun
has −μ₀ and φ = 0, so that φ = 0 is the forward side, where the glint is, and φ = 180° has the sun behind. The frame of a
direction n is l in the meridian plane (towards increasing zenith angle) and r across it, with r × l = n. Stokes vectors
hold I, Q, U: Q = I_l − I_r, and +U between +l and +r. Circular polarisation is left out: for sunlight V is below 1e-4 I, and
leaving it out changes I, Q, U by less than 1e-5 (Hansen & Travis 1974, section 5.2).

References
----------
Hansen, J. E. and Travis, L. D. (1974), Space Science Reviews 16, 527.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Turn = tuple[np.ndarray, np.ndarray]
"""Cosine and sine of twice an angle."""

FORWARD = 1e-9  # sine of the scattering angle below which any plane is a scattering plane
REVERSED = np.array([1.0, 1.0, -1.0])
"""What a reflection in a horizontal plane does to I, Q, U."""


@dataclass(frozen=True)
class Phase:
    """Scattering matrix of randomly oriented particles, tabulated.

    Attributes
    ----------
    angle : (k,) scattering angle Θ from 0 to π, evenly spaced [rad]
    elements : (4, k) F11, F12, F22, F33, with ½ ∫ F11 sin Θ dΘ = 1; F12 < 0 where light is polarised across the scattering
        plane [1]
    """

    angle: np.ndarray
    elements: np.ndarray

    def __call__(self, cos_scattering: np.ndarray) -> np.ndarray:
        """F11, F12, F22, F33 at cosines of Θ (...), linear in Θ: (4, ...)."""
        angle = np.arccos(np.clip(cos_scattering, -1, 1))
        return np.stack([np.interp(angle, self.angle, one) for one in self.elements])


def _frame(mu: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n, l and r of directions of propagation, (3, ...)."""
    sine, c, s = np.sqrt(np.maximum(1 - mu * mu, 0)), np.cos(phi), np.sin(phi)
    zero = np.zeros_like(c)
    return np.stack([sine * c, sine * s, mu]), np.stack([mu * c, mu * s, -sine]), np.stack([s, -c, zero])


def _turn(plane: np.ndarray, first: np.ndarray, second: np.ndarray) -> Turn:
    """cos 2η and sin 2η of the angle η from the axis `first` to a vector, towards `second`, (3, ...) each."""
    a, b = (plane * first).sum(0), (plane * second).sum(0)
    square = np.maximum(a * a + b * b, 1e-30)
    return (a * a - b * b) / square, 2 * a * b / square


def scattering_plane(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, Turn, Turn]:
    """Scattering angle, and the turns from the meridian planes to the scattering plane.

    Parameters
    ----------
    mu, mu0 : (...) cosines of propagation after and before, signed: sunlight has mu0 < 0 [1]
    phi : (...) azimuth after, minus that before [rad]

    Returns
    -------
    cos Θ : (...) [1]
    before, after : turns, each (cos 2η, sin 2η) with η from l to the scattering plane, towards r
    """
    mu, mu0, phi = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (mu, mu0, phi)))
    n0, l0, r0 = _frame(mu0, np.zeros_like(phi))
    n, l, r = _frame(mu, phi)
    normal = np.cross(n0, n, axis=0)
    length = np.sqrt((normal * normal).sum(0))
    normal = np.where(length > FORWARD, normal / np.maximum(length, FORWARD), r0)
    before = _turn(np.cross(n0, normal, axis=0), l0, r0)
    after = _turn(np.cross(n, normal, axis=0), l, r)
    return np.clip((n0 * n).sum(0), -1, 1), before, after


def in_meridian_planes(elements: np.ndarray, before: Turn, after: Turn) -> np.ndarray:
    """Matrix that acts on meridian Stokes vectors, Z = L(−η) F L(η₀), (..., 3, 3) (Hansen & Travis 1974, equation 3.21).

    `elements` are F11, F12, F22, F33, (4, ...), the turns those of `scattering_plane`.
    """
    f11, f12, f22, f33 = elements
    (c0, s0), (c, s) = before, after
    z = np.empty((*np.broadcast_shapes(f11.shape, c.shape), 3, 3))
    z[..., 0, 0], z[..., 0, 1], z[..., 0, 2] = f11, f12 * c0, f12 * s0
    z[..., 1, 0], z[..., 2, 0] = f12 * c, f12 * s
    z[..., 1, 1], z[..., 1, 2] = f22 * c * c0 + f33 * s * s0, f22 * c * s0 - f33 * s * c0
    z[..., 2, 1], z[..., 2, 2] = f22 * s * c0 - f33 * c * s0, f22 * s * s0 + f33 * c * c0
    return z


Reflection = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Reflection of a surface: (mu > 0 upwards, mu0 > 0 of the incoming zenith angle, phi) → (..., 3, 3), π times the
bidirectional reflectance distribution, acting on meridian Stokes vectors [1]."""
