"""What is fixed in a pixel: response of the triplet and of the optics, light as it leaves them, and how both are undone."""

import numpy as np

from radsens import elementary
from radsens.instrument import double_azimuth, even_polynomial
from radsens.models.irm import IRM
from radsens.random import field
from radsens.schema import Fault, Scene

# Rows of the pixel table: what is fixed in a pixel. A chain all of whose stages are linear reads the first LINEAR_ROWS alone.
B, J, Q0, U0, P0, LINEAR_ROWS, K, INVERSE_K, S_MEAN, TABLE_ROWS = 0, 3, 9, 10, 11, 12, 12, 15, 18, 19
CLOSURE = 1e-12  # to which the inverse of the optics must undo them [1]; rounding leaves 1e-15


def analyser(irm: IRM) -> np.ndarray:
    """Rows [1, η cos 2α, η sin 2α] of the triplet, (..., sample, 3) [1]."""
    eta, angle = irm.efficiency, 2 * irm.orientation
    rows = (np.ones_like(eta * angle), eta * elementary.cos(angle), eta * elementary.sin(angle))
    return np.stack(rows, axis=-1)


def optics(irm: IRM, scene: Scene) -> np.ndarray:
    """Matrix O(ε, φ) of the optics in each pixel, (3, 3, pixel) [1]: Mueller matrix of a diattenuator of transmission
    1 ± ε along φ (Goldstein 2011, Polarized Light, ch. 5), V left out."""
    eps = even_polynomial(irm.optics_polarisation, scene.theta)
    c, s = double_azimuth(scene.x, scene.y)
    kappa = np.sqrt(1 - eps * eps)
    cross = (1 - kappa) * c * s
    one = np.ones_like(eps)
    return np.array([[one, eps * c, eps * s], [eps * c, c * c + kappa * s * s, cross], [eps * s, cross, s * s + kappa * c * c]])


def inverse(m: np.ndarray) -> np.ndarray:
    """Inverse of 3×3 matrices by cofactors, (..., 3, 3); infinite or NaN where singular. No LAPACK: its bits change."""
    a, b, c = (m[..., 0, j] for j in range(3))
    d, e, f = (m[..., 1, j] for j in range(3))
    g, h, i = (m[..., 2, j] for j in range(3))
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0])
        return np.stack([np.stack([x * scale for x in row], axis=-1) for row in cofactors], axis=-2)


def pixel_table(irm: IRM, scene: Scene, place: str) -> np.ndarray:
    """What the kernels need of each pixel, from the nominal model: (TABLE_ROWS, pixel) float64.

    B = O S, K_a = P(θ) g_a and its inverse, J = O⁻¹ / I (six entries of the symmetric matrix; 1 / B₀ for an unpolarised
    band), reference q, u, DoLP, and the mean nominal signal of the samples [count]. `place` addresses the known g field.
    """
    intensity, q, u = scene.stokes
    o = optics(irm, scene)
    t = np.zeros((TABLE_ROWS, intensity.size))
    t[B : B + 3] = [row[0] * intensity + row[1] * q + row[2] * u for row in o]
    falloff = 1 + even_polynomial(irm.low_frequency, scene.theta)
    samples = irm.relative_transmission.shape[-1]
    g = 1 + irm.high_frequency * field(0, "inter_pixel", place, 0, scene.detector)[:samples].astype(float)
    t[K : K + samples] = falloff * g
    t[INVERSE_K : INVERSE_K + samples] = 1 / t[K : K + samples]
    weights = irm.sample_gain[:, None] * analyser(irm)
    signal = [t[K + a] * (w[0] * t[B] + w[1] * t[B + 1] + w[2] * t[B + 2]) for a, w in enumerate(weights)]
    t[S_MEAN] = sum(signal) / samples
    if irm.polarised:
        inverted = inverse(np.moveaxis(o, -1, 0))
        entries = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        t[J : J + 6] = [inverted[:, i, j] / intensity for i, j in entries]
        t[Q0], t[U0] = q / intensity, u / intensity
        t[P0] = np.sqrt(t[Q0] * t[Q0] + t[U0] * t[U0])
        refuse_open(t, place)
    else:
        t[J] = 1 / t[B]
    return t


def refuse_open(t: np.ndarray, place: str) -> None:
    """Refuse a pixel table whose optics are not undone by their inverse, J B = (1, q, u): the gaps take it for granted."""
    j, b = t[J : J + 6], t[B : B + 3]
    back = [j[r] * b[0] + j[s] * b[1] + j[u] * b[2] for r, s, u in ((0, 1, 2), (1, 3, 4), (2, 4, 5))]
    if (worst := np.abs(np.stack(back) - [np.ones_like(t[Q0]), t[Q0], t[U0]]).max(initial=0)) > CLOSURE:
        raise Fault(f"{place}: the optics of the model are undone to {worst:.1e} only, so that no gap can be told from it")
