"""Light that was scattered once, or reflected once by the ground: exact in every direction, with the whole forward peak.

To be added to the multiple scattering, total − first of `radsens.transfer.adding.reflect`, whose layers have their forward
peaks cut off: the TMS method of Nakajima and Tanaka (1988), J. Quant. Spectrosc. Radiat. Transfer 40, 51.
"""

from collections.abc import Sequence

import numpy as np

from radsens.transfer.optics import Portion, mixed, without_peak
from radsens.transfer.scattering import Reflection, scattering_plane


def once(
    layers: Sequence[Sequence[Portion]], surface: Reflection, mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray
) -> np.ndarray:
    """I, Q, U of π L/(μ₀ E) for unpolarised sunlight, (..., 3).

    A layer gives Σ ωᵢ τᵢ Fᵢ(Θ) (1 − e^−τ′ m) / (4 (μ + μ₀) τ′) with m = 1/μ + 1/μ₀ and τ′ = Σ (1 − fᵢ ωᵢ) τᵢ: the albedos
    ω/(1 − f ω), thicknesses and matrices of `optics.truncated`. What is below it is dimmed by e^−τ′ m.

    Parameters
    ----------
    layers : what each holds, peaks and all, from the top to the bottom
    mu, mu0, phi : (...) as of a `Reflection`
    """
    mu, mu0, phi = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (mu, mu0, phi)))
    cos_scattering, _, (c, s) = scattering_plane(mu, -mu0, phi)
    path, dimmed = 1 / mu + 1 / mu0, np.ones(mu.shape)
    scattered, polarised = np.zeros((2, *mu.shape))
    for portions in layers:
        whole, thickness = mixed(portions), sum(without_peak(one).thickness for one in portions)
        f11, f12, _, _ = whole.phase(cos_scattering)
        factor = dimmed * whole.albedo * whole.thickness / thickness * -np.expm1(-thickness * path) / (4 * (mu + mu0))
        scattered, polarised = scattered + factor * f11, polarised + factor * f12
        dimmed = dimmed * np.exp(-thickness * path)
    return np.stack([scattered, polarised * c, polarised * s], axis=-1) + dimmed[..., None] * surface(mu, mu0, phi)[..., 0]
