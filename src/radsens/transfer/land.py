"""Land: an empirical reflectance of the light, and the polarised light of its facets.

Parameters are illustrative: they give sand, a forest and snow the right colours, anisotropy and polarisation, but
were fitted to no place.

References
----------
Cosnefroy, H., Leroy, M. and Briottet, X. (1996), Remote Sensing of Environment 58, 101.
Maignan, F., Bréon, F.-M., Fédèle, E. and Bouvier, M. (2009), Remote Sensing of Environment 113, 2642.
Rahman, H., Pinty, B. and Verstraete, M. M. (1993), Journal of Geophysical Research 98, 20791.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from radsens.elementary import exp
from radsens.schema import Frozen
from radsens.transfer.facets import cos_incidence, fresnel_matrix
from radsens.transfer.scattering import Reflection, in_meridian_planes, scattering_plane

LOWEST = 0.05
"""Cosine of the zenith angle below which both laws are held, 87°: RPV diverges at the horizon, beyond all fits [1]."""

FACET_INDEX = 1.5
"""Refractive index of leaves and grains (Maignan et al. 2009) [1]."""

BANDS_NM = (400, 443, 490, 555, 670, 700, 750, 865, 1020, 1200, 1370, 1650, 2130, 2200)


@dataclass(frozen=True)
class Cover:
    """What covers the land.

    Attributes
    ----------
    rho0 : (14,) level ρ₀ of the RPV reflectance at `BANDS_NM` [1]
    bowl : k, below 1 where the reflectance rises towards the horizon [1]
    asymmetry : Θ, negative where light goes back towards the sun [1]
    polarisation : C of Maignan's law [1]
    ndvi : vegetation index of Maignan's law [1]
    """

    rho0: tuple[float, ...]
    bowl: float
    asymmetry: float
    polarisation: float
    ndvi: float


# All assumed. Levels: nadir reflectance over 1.1 (snow) to 1.6 (dark ground), the factor of the hot spot. Desert: from 0.15
# in the blue to 0.5 beyond 800 nm, as the Saharan sites of Cosnefroy et al. 1996. Vegetation: green peak, chlorophyll at
# 670 nm, red edge at 700-750 nm, plateau, water of leaves beyond 1300 nm. Snow: near white in the visible, dark in the SWIR
# where ice absorbs. Bowl and asymmetry: bare ground and canopies scatter backwards, and snow, made flat so that a low sun
# gets back no more than it sends, a little forwards. C: 6 is of the order of Maignan et al. 2009 for all classes (3 to 8,
# recalled); snow, which depolarises, was given 1.
COVERS = {
    "desert": Cover(
        rho0=(0.085, 0.11, 0.145, 0.21, 0.28, 0.29, 0.30, 0.32, 0.34, 0.355, 0.36, 0.38, 0.36, 0.355),
        bowl=0.83,
        asymmetry=-0.10,
        polarisation=6.0,
        ndvi=0.05,
    ),
    "vegetation": Cover(
        rho0=(0.014, 0.017, 0.021, 0.045, 0.024, 0.06, 0.21, 0.25, 0.25, 0.22, 0.13, 0.13, 0.055, 0.06),
        bowl=0.75,
        asymmetry=-0.12,
        polarisation=6.0,
        ndvi=0.85,
    ),
    "snow": Cover(
        rho0=(0.86, 0.86, 0.86, 0.855, 0.84, 0.835, 0.82, 0.76, 0.58, 0.38, 0.26, 0.08, 0.03, 0.05),
        bowl=0.98,
        asymmetry=0.03,
        polarisation=1.0,
        ndvi=0.0,
    ),
}


class Land(Frozen):
    """Land of one cover."""

    kind: Literal["land"] = Field(description="land, by laws of reflectance and of polarised reflectance")
    cover: Literal["desert", "vegetation", "snow"] = Field(description="what covers the land, with illustrative spectra")
    brightness: float = Field(1, ge=0.05, le=1, description="factor on the level of the reflectance, for darker places [1]")
    polarisation: float = Field(1, ge=0, le=1.5, description="factor on the polarised reflectance of the cover [1]")


def rpv(
    mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray, rho0: float, bowl: float, asymmetry: float, hot_spot: float
) -> np.ndarray:
    """Bidirectional reflectance factor of Rahman, Pinty and Verstraete, at cosines μ, μ₀ > 0 and azimuths φ, (...) [1].

    ρ₀ [μ μ₀ (μ + μ₀)]^(k−1) (1 − Θ²) / (1 + 2 Θ cos g + Θ²)^(3/2) [1 + (1 − ρ_c)/(1 + G)], with g the angle between the
    sun and the instrument and G = [tan²θ + tan²θ₀ + 2 tan θ tan θ₀ cos φ]^½, both zero with the sun behind, φ = 180°
    (Rahman et al. 1993, whose azimuth is 180° − φ).
    """
    sine, sine0 = np.sqrt(1 - mu * mu), np.sqrt(1 - mu0 * mu0)
    tangent, tangent0 = sine / mu, sine0 / mu0
    cos_g = mu * mu0 - sine * sine0 * np.cos(phi)
    distance = np.sqrt(np.maximum(tangent * tangent + tangent0 * tangent0 + 2 * tangent * tangent0 * np.cos(phi), 0))
    lobe = (1 - asymmetry * asymmetry) / (1 + 2 * asymmetry * cos_g + asymmetry * asymmetry) ** 1.5
    return rho0 * (mu * mu0 * (mu + mu0)) ** (bowl - 1) * lobe * (1 + (1 - hot_spot) / (1 + distance))


def facet_share(mu: np.ndarray, mu0: np.ndarray, cos_scattering: np.ndarray, polarisation: float, ndvi: float) -> np.ndarray:
    """What multiplies Fresnel's matrix, C exp(−tan ω) exp(−NDVI) / (4 (μ + μ₀)), (...) [1] (Maignan et al. 2009, equation 21)."""
    incidence = cos_incidence(cos_scattering)
    tangent = np.sqrt(np.maximum(1 - incidence * incidence, 0)) / incidence
    return polarisation * exp(-tangent) * float(exp(-ndvi)) / (4 * (mu + mu0))


def land_reflection(land: Land, wavelength: float) -> Reflection:
    """Reflection of a cover at a wavelength [nm]: Fresnel's matrix of the facets, and RPV in the place of its I.

    The hot spot has ρ_c = ρ₀, as is usual where it is not fitted. RPV holds the light of the facets too, so that it is
    never taken for less than theirs: dark leaves at the horizon, where both laws are beyond their fits, would otherwise be
    polarised by more than 1.
    """
    cover = COVERS[land.cover]
    rho0 = land.brightness * float(np.interp(wavelength, BANDS_NM, cover.rho0))

    def reflect(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> np.ndarray:
        mu, mu0 = np.maximum(mu, LOWEST), np.maximum(mu0, LOWEST)
        cos_scattering, before, after = scattering_plane(mu, -mu0, phi)
        share = facet_share(mu, mu0, cos_scattering, land.polarisation * cover.polarisation, cover.ndvi)
        matrix = in_meridian_planes(share * fresnel_matrix(cos_scattering, FACET_INDEX), before, after)
        matrix[..., 0, 0] = np.maximum(rpv(mu, mu0, phi, rho0, cover.bowl, cover.asymmetry, rho0), matrix[..., 0, 0])
        return matrix

    return reflect
