"""How the particles of the air scatter: molecules, ice, mixtures, and the forward peak cut off. Spheres: `mie`.

References
----------
Hansen, J. E. and Travis, L. D. (1974), Light scattering in planetary atmospheres, Space Science Reviews 16, 527.
Nakajima, T. and Tanaka, M. (1988), Algorithms for radiative intensity calculations in moderately thick atmospheres using
a truncation approximation, J. Quant. Spectrosc. Radiat. Transfer 40, 51.
C.-Labonnote, L. et al. (2001), Polarized light scattering by inhomogeneous hexagonal monocrystals, J. Geophys. Res. 106, 12139.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radsens.transfer.scattering import Phase

MOLECULES = 7201  # angles of smooth matrices: linear interpolation between them is then good to 5e-8


@dataclass(frozen=True)
class Scatterer:
    """Particles of one kind at one wavelength.

    Attributes
    ----------
    extinction : cross-section of one particle [µm²]
    albedo : single-scattering albedo [1]
    phase : scattering matrix
    """

    extinction: float
    albedo: float
    phase: Phase


@dataclass(frozen=True)
class Portion:
    """What one kind of particle puts in a layer.

    Attributes
    ----------
    thickness : optical thickness [1]
    albedo : single-scattering albedo [1]
    phase : scattering matrix
    cap : scattering angle below which the forward peak is cut off for the multiple scattering, 0: it stays (`truncated`) [rad]
    """

    thickness: float
    albedo: float
    phase: Phase
    cap: float = 0.0


def sphere_mean(phase: Phase, weight: np.ndarray | float = 1.0) -> float:
    """½ ∫ w F11 sin Θ dΘ: 1 for w = 1, the asymmetry factor g for w = cos Θ; w (k,) on the angles of `phase`.

    Between the angles w F11 is a straight line, as it is for who interpolates, and sin Θ is exact.
    """
    angle, value = phase.angle, weight * phase.elements[0]
    slope = np.diff(value) / np.diff(angle)
    inner = value[:-1] * np.cos(angle[:-1]) - value[1:] * np.cos(angle[1:]) + slope * np.diff(np.sin(angle))
    return float(0.5 * inner.sum())


def rayleigh(depolarisation: float) -> Phase:
    """Scattering matrix of molecules (Hansen & Travis 1974, equations 2.15 and 2.16).

    With Δ = (1 − ρ)/(1 + ρ/2): F11 = ¾ Δ (1 + cos² Θ) + 1 − Δ, F12 = −¾ Δ sin² Θ, F22 = ¾ Δ (1 + cos² Θ), F33 = 3/2 Δ cos Θ.

    Parameters
    ----------
    depolarisation : ρ, from 0 (dipoles) to 6/7; air has about 0.03 [1]
    """
    angle = np.linspace(0, np.pi, MOLECULES)
    c, share = np.cos(angle), (1 - depolarisation) / (1 + depolarisation / 2)
    dipole = 0.75 * share * (1 + c * c)
    return Phase(angle, np.stack([dipole + 1 - share, -0.75 * share * np.sin(angle) ** 2, dipole, 1.5 * share * c]))


# Shape of the ice below. Assumed: chosen to look like severely roughened aggregates and bubbly hexagons, no fit.
FORWARD_SHARE, BACKWARD = 0.92, -0.1  # a back as flat and as high, F11 ≈ 0.13 beyond 120°, as in C.-Labonnote et al. (2001)
BACKSCATTER_F22 = 0.54  # (1 − δ)/(1 + δ) for a lidar depolarisation δ = 0.3, usual for cirrus


def _henyey_greenstein(g: float, c: np.ndarray) -> np.ndarray:
    return (1 - g * g) / (1 + g * g - 2 * g * c) ** 1.5


def ice(asymmetry: float = 0.77, albedo: float = 1.0, polarisation: float = 0.04) -> Scatterer:
    """APPROXIMATE: ice without features (no halo, no rainbow), as of roughened aggregates; made up, not computed.

    F11 = 0.92 H(g₁) + 0.08 H(−0.1), H the function of Henyey and Greenstein, g₁ so that the asymmetry factor is the one asked
    for; F12 = −p sin² Θ F11; F22 = [1 − 0.46 (1 − cos Θ)/2] F11; F33 = F22 cos Θ, so that F33 = ±F22 forwards and backwards, as
    symmetry asks. Crystals are large against the wavelength: the extinction is the same in all bands, and given as 1 µm².

    Parameters
    ----------
    asymmetry : g, from 0.6 to 0.85; 0.75 to 0.78 is what roughened aggregates have (assumed) [1]
    albedo : single-scattering albedo, 1 below 1 µm, less in the short-wave infrared [1]
    polarisation : p, largest −F12/F11, at 90°: POLDER saw a few per cent (recalled) [1]
    """
    angle = np.linspace(0, np.pi, MOLECULES)
    c = np.cos(angle)
    g = (asymmetry - (1 - FORWARD_SHARE) * BACKWARD) / FORWARD_SHARE
    f11 = FORWARD_SHARE * _henyey_greenstein(g, c) + (1 - FORWARD_SHARE) * _henyey_greenstein(BACKWARD, c)
    f22 = (1 - (1 - BACKSCATTER_F22) * (1 - c) / 2) * f11
    return Scatterer(1.0, albedo, Phase(angle, np.stack([f11, -polarisation * np.sin(angle) ** 2 * f11, f22, f22 * c])))


STEEPEST = 8.0  # logarithm of the height of a stump: caps of 5° to 20° need 1 to 4


def _stump(phase: Phase, end: float) -> np.ndarray:
    """What replaces F11 below `end`: F11(end) exp[a (1 − Θ²/end²)], a ≥ 0 so that ∫ F11 (1 − cos Θ) sin Θ dΘ stays, (k,)."""
    angle, f11 = phase.angle, phase.elements[0]
    shape, cap = 1 - (angle / end) ** 2, np.interp(end, angle, f11)
    weight = np.where(angle < end, (1 - np.cos(angle)) * np.sin(angle), 0.0)
    low, high = 0.0, STEEPEST
    for _ in range(50):
        middle = (low + high) / 2
        short = weight @ (cap * np.exp(middle * np.maximum(shape, 0))) < weight @ f11
        low, high = (middle, high) if short else (low, middle)
    return np.where(angle < end, cap * np.exp(low * shape), f11)


def truncated(phase: Phase, angle: float) -> tuple[float, Phase]:
    """Scattering matrix without its forward peak: the fraction f of light that was in the peak, and what remains.

    Below `angle` F11 becomes a stump, low enough for the streams, with which the light is turned away as much as before:
    ∫ F11 (1 − cos Θ) sin Θ dΘ stays, and so does (1 − g) ω τ. (A flat cap, as is often used, loses that: it was ten times less
    accurate over aerosols.) The other elements keep their ratio to F11. f = 1 − ½ ∫ F11 sin Θ dΘ of what is left, F11 being
    normalised. Light of the peak counts as not scattered (Nakajima & Tanaka 1988, section 2):

        τ′ = (1 − f ω) τ,   ω′ = (1 − f) ω / (1 − f ω),   F′ = F with the stump / (1 − f)

    and their TMS puts the first order right: take that of F′, with ω′, from the sum, and add exactly one scattering by the
    whole matrix F, with the albedo ω′/(1 − f) = ω/(1 − f ω), through the thickness τ′. `without_peak` does the first half,
    `radsens.transfer.once` the second.

    Parameters
    ----------
    angle : where the stump ends [rad]
    """
    scale = _stump(phase, angle) / phase.elements[0]
    rest = Phase(phase.angle, phase.elements * scale)
    kept = sphere_mean(rest)
    return 1 - kept, Phase(phase.angle, rest.elements / kept)


def without_peak(portion: Portion) -> Portion:
    """τ′, ω′, F′ of `truncated`; no cap any more."""
    if portion.cap == 0:
        return portion
    fraction, phase = truncated(portion.phase, portion.cap)
    lost = fraction * portion.albedo
    return Portion(portion.thickness * (1 - lost), portion.albedo * (1 - fraction) / (1 - lost), phase)


def mixed(portions: Sequence[Portion]) -> Portion:
    """All that is in one layer: τ = Σ τᵢ, ω = Σ ωᵢ τᵢ / τ, F = Σ ωᵢ τᵢ Fᵢ / (ω τ), on the finest of the angles; no cap."""
    thickness = sum(one.thickness for one in portions)
    scattered = [one.thickness * one.albedo for one in portions]
    angle = max((one.phase.angle for one in portions), key=len)
    elements = np.zeros((4, len(angle)))
    for amount, one in zip(scattered, portions, strict=True):
        elements += amount / sum(scattered) * np.stack([np.interp(angle, one.phase.angle, e) for e in one.phase.elements])
    return Portion(thickness, sum(scattered) / thickness, Phase(angle, elements))
