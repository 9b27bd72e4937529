"""The sea: facets roughened by the wind, foam, and the light that the water sends back.

References
----------
Friedman, D. (1969), Applied Optics 8, 2073.
Hale, G. M. and Querry, M. R. (1973), Applied Optics 12, 555.
Huibers, P. D. T. (1997), Applied Optics 36, 3785.
Koepke, P. (1984), Applied Optics 23, 1816.
Monahan, E. C. and O'Muircheartaigh, I. G. (1980), Journal of Physical Oceanography 10, 2094.
Morel, A. and Maritorena, S. (2001), Journal of Geophysical Research 106, 7163.
Quan, X. and Fry, E. S. (1995), Applied Optics 34, 3477.
Whitlock, C. H., Bartlett, D. S. and Gurganus, E. A. (1982), Geophysical Research Letters 9, 719.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from radsens.schema import Frozen
from radsens.transfer.facets import cos_incidence, facet_density, fresnel_matrix, hidden, slope_variance
from radsens.transfer.scattering import Reflection, in_meridian_planes, scattering_plane

# Sea water of 34 g of salt per kg at 15 °C, the mean of the surface of the oceans (assumed; 10 °C change n by 0.001).
SALINITY, TEMPERATURE = 34.0, 15.0
# Beyond 1100 nm, real part of the index of pure water (Hale & Querry 1973) plus 0.006 of salt (Friedman 1969), both
# verified in the table of libRadtran's oceabrdf.f as public code repeats it; the first value joins it to Quan & Fry. The
# imaginary part is left out: at most 1.1e-3 (2000 nm) here, it adds κ² / (n − 1)² = 1e-5 of its reflectance at the nadir.
SWIR_NM = (1100, 1200, 1400, 1600, 1800, 2000, 2200)
SWIR_INDEX = (1.3312, 1.330, 1.327, 1.323, 1.318, 1.312, 1.302)

# Effective reflectance of whitecaps, of all ages together: 0.22 in the visible (Koepke 1984; verified on the abstract),
# with the spectrum of Whitlock et al. 1982 (verified in the same table of oceabrdf.f).
FOAM_NM = (400, 700, 800, 900, 1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 1900, 2000, 2100, 2200)
FOAM = (0.22, 0.22, 0.215, 0.21, 0.2, 0.19, 0.175, 0.155, 0.13, 0.08, 0.1, 0.105, 0.1, 0.08, 0.045, 0.055, 0.065)

# Reflectance πL/E of the water itself, above the surface, for case 1 water of 0.1 mg/m³ of chlorophyll. Assumed: rounded
# to what the spectra of Morel & Maritorena 2001 look like (clear blue water, hinge near 500 nm, dark beyond 600 nm, where
# water absorbs); it is a faint unpolarised background here, not ocean colour.
LEAVING_NM = (400, 412, 443, 490, 510, 555, 600, 670, 700)
LEAVING = (0.022, 0.022, 0.019, 0.014, 0.011, 0.005, 0.0015, 0.0004, 0.0)


class Ocean(Frozen):
    """Sea under the wind: polarised facets of isotropic slopes, foam, water-leaving light."""

    kind: Literal["ocean"] = Field(description="wind-roughened sea")
    wind_speed: float = Field(
        5, ge=0.5, le=20, description="wind speed, which sets the slopes (Cox-Munk) and the foam of the sea [m/s]"
    )
    shadowing: bool = Field(
        True, description="facets hide one another (Smith); without it the sea sends too much light to the horizon"
    )
    foam: bool = Field(True, description="whitecaps cover the part of the sea that the wind speed says")
    water_leaving: bool = Field(True, description="water sends light back, as clear case 1 water does (0.1 mg/m3)")


def index_of_water(wavelength: float, salinity: float, temperature: float) -> float:
    """Real refractive index of water at a wavelength [nm], of a salinity S [g/kg] and a temperature T [°C] [1].

    n = n₀ + (n₁ + n₂T + n₃T²) S + n₄T² + (n₅ + n₆S + n₇T)/λ + n₈/λ² + n₉/λ³ (Quan & Fry 1995, equation 3; coefficients
    verified in public code). Fitted to 400-700 nm; it goes on to 1100 nm (Huibers 1997, recalled).
    """
    s, t, x = salinity, temperature, 1 / wavelength
    salt = (1.779e-4 - 1.05e-6 * t + 1.6e-8 * t * t) * s - 2.02e-6 * t * t
    return 1.31405 + salt + x * (15.868 + 0.01155 * s - 0.00423 * t + x * (-4382 + x * 1.1455e6))


def refractive_index(wavelength: float) -> float:
    """Real refractive index of sea water at a wavelength [nm], `index_of_water` up to 1100 nm and a table beyond [1]."""
    if wavelength <= SWIR_NM[0]:
        return index_of_water(wavelength, SALINITY, TEMPERATURE)
    return float(np.interp(wavelength, SWIR_NM, SWIR_INDEX))


def foam_coverage(wind_speed: float) -> float:
    """Part of the sea under whitecaps, 2.95e-6 W^3.52, W in m/s (Monahan & O'Muircheartaigh 1980) [1]."""
    return float(2.95e-6 * wind_speed**3.52)


def glint(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray, ocean: Ocean, index: float) -> np.ndarray:
    """Reflection by the facets alone, in the form of a `Reflection`, (..., 3, 3) [1].

    π f = S π p(β) F(Θ) / (4 μ μ₀ cos⁴β), cos β = (μ + μ₀) / (2 cos ω), with Fresnel's matrix F, the slopes of
    `facet_density` and S = 1 / (1 + Λ(μ) + Λ(μ₀)) of `hidden` (Mishchenko & Travis 1997 write it so, without foam).
    """
    cos_scattering, before, after = scattering_plane(mu, -mu0, phi)
    variance = slope_variance(ocean.wind_speed)
    density = facet_density((mu + mu0) / (2 * cos_incidence(cos_scattering)), variance) / (mu * mu0)
    if ocean.shadowing:
        density = density / (1 + hidden(mu, variance) + hidden(mu0, variance))
    return in_meridian_planes(density * fresnel_matrix(cos_scattering, index), before, after)


def diffuse(ocean: Ocean, wavelength: float) -> tuple[float, float]:
    """What foam and water reflect, unpolarised and alike in all directions, and the part of the sea left to facets [1]."""
    coverage = foam_coverage(ocean.wind_speed) if ocean.foam else 0.0
    leaving = float(np.interp(wavelength, LEAVING_NM, LEAVING)) if ocean.water_leaving else 0.0
    return coverage * float(np.interp(wavelength, FOAM_NM, FOAM)) + (1 - coverage) * leaving, 1 - coverage


def ocean_reflection(ocean: Ocean, wavelength: float) -> Reflection:
    """Reflection of a sea at a wavelength [nm]: facets on the part without foam, plus the diffuse light of foam and water."""
    index = refractive_index(wavelength)
    unpolarised, clear = diffuse(ocean, wavelength)

    def reflect(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> np.ndarray:
        matrix = clear * glint(mu, mu0, phi, ocean, index)
        matrix[..., 0, 0] += unpolarised
        return matrix

    return reflect
