"""Light that was scattered once, or reflected once by the ground: exact in every direction, with the whole forward peak.

To be added to the multiple scattering, total − first of `radsens.transfer.adding.reflect`, whose layers have their forward
peaks cut off: the TMS method of Nakajima and Tanaka (1988), J. Quant. Spectrosc. Radiat. Transfer 40, 51.

TMS takes light of the peak as if it went straight on. It is a few degrees off, on its way in and out, and blurs the rainbow
and the glory of a cloud. Droplets of 10 µm at 865 nm, peak cut off at 14°: with TMS alone the degree of polarisation was wrong
by 0.005 in the rainbow and 0.017 in the glory, I by 4 % in the glory; blurred by 0.0004, 0.0003 and 0.2 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from radsens.transfer.optics import Portion, mixed, without_peak
from radsens.transfer.scattering import Phase, Reflection, scattering_plane

AIR_MASS = 3.0  # 1/μ + 1/μ₀ for which thin layers are blurred; thick ones do not depend on it (assumed: 48° and 48°)
DEGREES = 700  # of Legendre: 0.25°, finer than the glory of droplets of 10 µm


@dataclass(frozen=True)
class Stratum:
    """A layer, for light scattered once.

    Attributes
    ----------
    thickness : τ′, without the light of the peaks [1]
    albedo : Σ ωᵢ τᵢ / τ′, above 1 where there is a peak: ω/(1 − f ω) [1]
    phase : scattering matrix, with its peak; only F11 and F12 are blurred
    """

    thickness: float
    albedo: float
    phase: Phase


def _functions(c: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """l, P_l and d_l02 at cosines: what F11 and F12 are expanded in (Hovenier & van der Mee 1983, Astron. Astrophys. 128, 1)."""
    p_old, p, d_old, d = np.zeros_like(c), np.ones_like(c), np.zeros_like(c), np.zeros_like(c)
    for l in range(DEGREES):
        yield l, p, d
        p_old, p = p, ((2 * l + 1) * c * p - l * p_old) / (l + 1)
        if l == 1:
            d = np.sqrt(6) / 4 * (1 - c * c)
        elif l > 1:
            d_old, d = d, ((2 * l + 1) * c * d - np.sqrt(l * l - 4) * d_old) / np.sqrt((l + 1) ** 2 - 4)


def _blurred(whole: Portion, rest: Portion) -> Phase:
    """F, with F′ replaced by its convolution with all the scatterings by the peak p before and after.

    A share q = f ω of what a path s meets is peak, so that n such scatterings have the weight qⁿ sⁿ e^−s / n! and the degree l
    of F′ is multiplied by ∫ e^−s(1 − q p_l) ds / ∫ e^−s(1 − q) ds, from 0 to S = τ × air mass: by (1 − q)/(1 − q p_l) where it
    is thick. Paths are along the light, p turns polarisation no more than it turns light.
    """
    angle = whole.phase.angle
    c, weight = np.cos(angle), np.sin(angle) * (angle[1] - angle[0])
    kept = rest.phase.elements * rest.albedo * rest.thickness / (whole.albedo * whole.thickness)
    peak = weight * (whole.phase.elements[0] - kept[0])
    q = whole.albedo * (1 - weight @ kept[0] / 2)
    out, path = whole.phase.elements.copy(), whole.thickness * AIR_MASS
    straight = -np.expm1(-path * (1 - q)) / (1 - q)
    for l, p, d in _functions(c):
        loss = 1 - q * (peak @ p) / peak.sum()
        factor = (2 * l + 1) / 2 * (-np.expm1(-path * loss) / loss / straight - 1)
        out[0] += factor * ((weight * kept[0]) @ p) * p
        out[1] += factor * ((weight * kept[1]) @ d) * d
    return Phase(angle, out)


def stratum(portions: Sequence[Portion]) -> Stratum:
    """What `once` needs of a layer that holds these."""
    whole, rest = mixed(portions), mixed([without_peak(one) for one in portions])
    phase = _blurred(whole, rest) if any(one.cap for one in portions) else whole.phase
    return Stratum(rest.thickness, whole.albedo * whole.thickness / rest.thickness, phase)


def once(strata: Sequence[Stratum], surface: Reflection, mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """I, Q, U of π L/(μ₀ E) for unpolarised sunlight, (..., 3).

    A layer gives ω F(Θ) (1 − e^−τ m) / (4 (μ + μ₀)) with m = 1/μ + 1/μ₀; what is below it is dimmed by e^−τ m.

    Parameters
    ----------
    strata : from the top to the bottom
    mu, mu0, phi : (...) as of a `Reflection`
    """
    mu, mu0, phi = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (mu, mu0, phi)))
    cos_scattering, _, (c, s) = scattering_plane(mu, -mu0, phi)
    air_mass, dimmed = 1 / mu + 1 / mu0, np.ones(mu.shape)
    scattered, polarised = np.zeros((2, *mu.shape))
    for one in strata:
        f11, f12, _, _ = one.phase(cos_scattering)
        factor = dimmed * one.albedo * -np.expm1(-one.thickness * air_mass) / (4 * (mu + mu0))
        scattered, polarised = scattered + factor * f11, polarised + factor * f12
        dimmed = dimmed * np.exp(-one.thickness * air_mass)
    return np.stack([scattered, polarised * c, polarised * s], axis=-1) + dimmed[..., None] * surface(mu, mu0, phi)[..., 0]
