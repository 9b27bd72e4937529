"""Stokes vectors of pixels: exactly what is scattered or reflected once, and the table's smooth part.

References
----------
Berrut, J.-P. and Trefethen, L. N. (2004), SIAM Review 46, 501.
"""

from typing import NamedTuple

import numpy as np

from radsens.kernel import kernel
from radsens.transfer.once import Directions, once
from radsens.transfer.scattering import Reflection
from radsens.transfer.tables import Table

NODES = 128  # of the fine grid of each cosine
MARGIN = 1e-6  # by which the range of cosines of a grid is widened, so that it has a size


class Fine(NamedTuple):
    """The smooth part of a table on a fine grid of cosines: values (node of μ, node of μ₀, order, 3) float32.

    Odd orders are divided by sin θ sin θ₀: towards the zenith I, Q, U of the order m go as the power m or m ± 2 of sin θ, and
    of sin θ₀, so that what is left of odd orders, and even ones as they are, is smooth in μ and μ₀, as interpolation asks.
    """

    values: np.ndarray
    mu: tuple[float, float]
    mu0: tuple[float, float]


def fine(table: Table, mu: tuple[float, float], mu0: tuple[float, float]) -> Fine:
    """The smooth part of a table between two cosines of view and of the sun: polynomials through the Gauss nodes."""
    a, b = (barycentric(table.mu, np.linspace(low, high, NODES)) for low, high in (mu, mu0))
    fold = np.where(np.arange(len(table.multiple)) == 0, 1.0, 2.0)
    sine, odd = np.sqrt(1 - table.mu * table.mu), np.arange(len(table.multiple)) % 2 == 1
    even = np.where(odd[:, None, None, None], table.multiple / (sine[:, None, None] * sine), table.multiple)
    values = np.einsum("iv,mvks,js,m->ijmk", a, even, b, fold, optimize=True)
    return Fine(np.ascontiguousarray(values, dtype=np.float32), mu, mu0)


def barycentric(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Matrix (point, node) that interpolates by the polynomial through the nodes (Berrut & Trefethen 2004, equation 4.2)."""
    gaps = nodes[:, None] - nodes
    np.fill_diagonal(gaps, 1)
    weights = 1 / np.prod(gaps * (4 / np.ptp(nodes)), axis=1)
    away = points[:, None] - nodes
    on_node = away == 0
    terms = weights / np.where(on_node, 1, away)
    terms = np.where(on_node.any(1, keepdims=True), on_node, terms)
    return terms / terms.sum(1, keepdims=True)


@kernel
def add_smooth(out, values, mu, mu0, cosine, sine, mu_first, mu_step, mu0_first, mu0_step):
    """Add Σ_m R_m cos mφ to I and Q, Σ_m R_m sin mφ to U: out (3, pixel).

    R_m is bilinear between the nodes of `Fine`, and times sin θ sin θ₀ where m is odd.
    """
    last, last0 = values.shape[0] - 2, values.shape[1] - 2
    for p in range(mu.size):
        a, b = (mu[p] - mu_first) / mu_step, (mu0[p] - mu0_first) / mu0_step
        i, j = min(max(int(a), 0), last), min(max(int(b), 0), last0)
        wa, wb = a - i, b - j
        w00, w01, w10, w11 = (1 - wa) * (1 - wb), (1 - wa) * wb, wa * (1 - wb), wa * wb
        sines = np.sqrt(max((1 - mu[p] * mu[p]) * (1 - mu0[p] * mu0[p]), 0.0))
        c, s, factor, other, intensity, q, u = 1.0, 0.0, 1.0, sines, 0.0, 0.0, 0.0
        v00, v01, v10, v11 = values[i, j], values[i, j + 1], values[i + 1, j], values[i + 1, j + 1]
        for m in range(values.shape[2]):
            even, odd = factor * c, factor * s
            intensity += even * (w00 * v00[m, 0] + w01 * v01[m, 0] + w10 * v10[m, 0] + w11 * v11[m, 0])
            q += even * (w00 * v00[m, 1] + w01 * v01[m, 1] + w10 * v10[m, 1] + w11 * v11[m, 1])
            u += odd * (w00 * v00[m, 2] + w01 * v01[m, 2] + w10 * v10[m, 2] + w11 * v11[m, 2])
            c, s = c * cosine[p] - s * sine[p], s * cosine[p] + c * sine[p]
            factor, other = other, factor
        out[0, p] += intensity
        out[1, p] += q
        out[2, p] += u


def smooth(grid: Fine, directions: Directions) -> np.ndarray:
    """Light scattered or reflected more than once: I, Q, U (3, pixel) as reflectance factor [1]."""
    out, d = np.zeros((3, directions.mu.size)), directions
    (low, high), (low0, high0) = grid.mu, grid.mu0
    step, step0 = (high - low) / (NODES - 1), (high0 - low0) / (NODES - 1)
    cosine, sine = np.cos(d.phi), np.sin(d.phi)
    add_smooth(out, grid.values, d.mu, d.mu0, cosine, sine, low, step, low0, step0)
    return out


def stokes(table: Table, grid: Fine, ground: Reflection, directions: Directions) -> np.ndarray:
    """Normalised radiance πL/E₀ of pixels: I, Q, U in the meridian frame, (3, pixel) [1].

    Parameters
    ----------
    table, grid : of the atmosphere and the surface, and its smooth part
    ground : reflection of the same surface
    directions : of the pixels, inside the cosines of the grid
    """
    return directions.mu0 * (once(table.strata, ground, directions) + smooth(grid, directions))
