"""Light that was scattered once, or reflected once by the ground: exact in every direction, with the whole forward peak.

To be added to the multiple scattering, total − first of `radsens.transfer.adding.reflect`, whose layers have their forward
peaks cut off: the TMS method of Nakajima and Tanaka (1988), J. Quant. Spectrosc. Radiat. Transfer 40, 51.

TMS takes light of the peak as if it went straight on. It is a few degrees off, on its way in and out, and blurs the rainbow
and the glory of a cloud. Droplets of 10 µm at 865 nm, peak cut off at 14°: with TMS alone the degree of polarisation was wrong
by 0.005 in the rainbow and 0.017 in the glory, I by 4 % in the glory; blurred by 0.0004, 0.0003 and 0.2 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from radsens.transfer.optics import Portion, mixed, without_peak
from radsens.transfer.scattering import Phase, Reflection, scattering_plane

AIR_MASS = 3.0  # 1/μ + 1/μ₀ for which thin layers are blurred; thick ones do not depend on it (assumed: 48° and 48°)
DARK = 1e-6  # part of the direct beam below which the ground under a cloud is not seen
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


class Directions(NamedTuple):
    """Directions of sight, and what all layers and tables need of them.

    Attributes
    ----------
    mu, mu0 : (...) cosines of the view and the solar zenith angles [1]
    phi : (...) azimuth of propagation after minus before, 0 on the side of the glint [rad]
    angle : (...) scattering angle Θ [rad]
    turn : (2, ...) cosine and sine of twice the angle from the meridian plane to the scattering plane
    """

    mu: np.ndarray
    mu0: np.ndarray
    phi: np.ndarray
    angle: np.ndarray
    turn: np.ndarray

    @classmethod
    def of(cls, mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> "Directions":
        """Directions of cosines and azimuths that broadcast together."""
        mu, mu0, phi = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (mu, mu0, phi)))
        cos_scattering, _, after = scattering_plane(mu, -mu0, phi)
        return cls(mu, mu0, phi, np.arccos(cos_scattering), np.stack(after))

    def some(self, index: np.ndarray) -> "Directions":
        """Those of some pixels."""
        return Directions(*(values[..., index] for values in self))


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


def once(strata: Sequence[Stratum], surface: Reflection, directions: Directions) -> np.ndarray:
    """I, Q, U of π L/(μ₀ E) for unpolarised sunlight, (3, ...).

    A layer gives ω F(Θ) (1 − e^−τ m) / (4 (μ + μ₀)) with m = 1/μ + 1/μ₀; what is below it is dimmed by e^−τ m.

    Parameters
    ----------
    strata : from the top to the bottom
    surface : the ground
    directions : (...) of sight
    """
    mu, mu0, (c, s) = directions.mu, directions.mu0, directions.turn
    air_mass, dimmed = 1 / mu + 1 / mu0, np.ones(mu.shape)
    scattered, polarised = np.zeros((2, *mu.shape))
    for one in strata:
        through = np.exp(-one.thickness * air_mass)
        factor = dimmed * one.albedo * (1 - through) / (4 * (mu + mu0))
        f11, f12 = (np.interp(directions.angle, one.phase.angle, element) for element in one.phase.elements[:2])
        scattered, polarised = scattered + factor * f11, polarised + factor * f12
        dimmed = dimmed * through
    out, lit = np.stack([scattered, polarised * c, polarised * s]), dimmed > DARK
    if lit.any():
        out[:, lit] += dimmed[lit] * surface(mu[lit], mu0[lit], directions.phi[lit])[..., 0].T
    return out
