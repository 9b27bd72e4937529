"""Absorption by oxygen and water vapour on the way down and up. APPROXIMATE.

One transmission of the whole band and of the whole way, as if all the light came from one height: exact for no scene,
it gives the oxygen and water vapour channels their brightness, its growth with the air mass and its fall with the
height of a cloud. Scattering inside an absorbing layer, which lengthens the ways, is left out, and so are temperature
and the shape of the ground's spectrum within a band.

References
----------
Bird, R. E. and Riordan, C. (1986), Journal of Climate and Applied Meteorology 25, 87.
Buriez, J.-C. et al. (1997), International Journal of Remote Sensing 18, 2785.
Goody, R. M. and Yung, Y. L. (1989), Atmospheric Radiation, Oxford University Press.
ISO 2533:1975, Standard Atmosphere.
"""

from typing import Literal

import numpy as np

from radsens.elementary import exp

Gas = Literal["oxygen", "water_vapour"]

REFERENCE_WATER = 2.0
"""Precipitable water at which the k of a water vapour channel is given [g/cm²] (a convention of this house)."""

VAPOUR_SCALE_HEIGHT = 2.0
"""Height over which water vapour falls by e [km]; 2 to 2.5 km is usual (recalled), and less above 8 km."""

OXYGEN_POWER = 2.0
"""Exponent of the pressure in the absorber amount of oxygen: a uniformly mixed gas of strong, pressure-broadened lines
absorbs as m p² (Goody & Yung 1989; Buriez et al. 1997 take m p² too, recalled) [1]."""


def pressure_ratio(height: np.ndarray) -> np.ndarray:
    """Pressure at heights z (...) [km] over that at the sea level, in the standard atmosphere (ISO 2533) [1].

    (1 − 6.5 z / 288.15)^5.25588 up to 11 km; beyond, 0.22336 exp(−(z − 11) / 6.3416).
    """
    height = np.asarray(height, dtype=float)
    below = (1 - 6.5 * np.minimum(height, 11.0) / 288.15) ** 5.25588
    return below * exp(-np.maximum(height - 11.0, 0) / 6.3416)


def absorber_above(gas: Gas, height: np.ndarray, water: float = REFERENCE_WATER) -> np.ndarray:
    """Absorber above the heights z (...) [km] that send the light back, over what the k of a channel stands for [1].

    Oxygen: (p/p₀)². Water vapour: (W / 2 g/cm²) exp(−z / 2 km).

    Parameters
    ----------
    gas : what absorbs
    height : (...) of the ground or of the top of a cloud, 0 at the sea level [km]
    water : precipitable water W of the whole column [g/cm²]
    """
    if gas == "oxygen":
        return pressure_ratio(height) ** OXYGEN_POWER
    return water / REFERENCE_WATER * exp(-np.asarray(height, dtype=float) / VAPOUR_SCALE_HEIGHT)


def transmission(mu: np.ndarray, mu0: np.ndarray, absorption: tuple[float, float], above: np.ndarray | float = 1.0) -> np.ndarray:
    """Transmission on the two ways, T = exp[−k (m f)^b], m = 1/μ + 1/μ₀, (...) [1].

    b is 1 for faint lines and ½ for strong lines apart, less where lines overlap (Goody & Yung 1989); the
    form holds over a band what Bird & Riordan 1986 write per wavelength.

    Parameters
    ----------
    mu, mu0 : (...) cosines > 0 of the zenith angles of the instrument and of the sun [1]
    absorption : k and b of a channel [1]
    above : (...) fraction f of the absorber on the ways, of `absorber_above` [1]
    """
    k, b = absorption
    return exp(np.maximum(-k * ((1 / mu + 1 / mu0) * above) ** b, -700.0))
