"""What stands between the sun, the ground and the instrument: aerosols, a cloud, air, over a surface.

Aerosols are mixed with the lowest quarter of the air, a cloud is a layer without air at its top's height.

References
----------
Dubovik, O. et al. (2002), J. Atmos. Sci. 59, 590: aerosol climatology of AERONET (the orders of magnitude of sizes and indices).
Hale, G. M. and Querry, M. R. (1973), Applied Optics 12, 555: refractive index of liquid water.
Kou, L., Labrie, D. and Chylek, P. (1993), Applied Optics 32, 3531: absorption of water and ice from 0.65 to 2.5 µm.
Warren, S. G. and Brandt, R. E. (2008), J. Geophys. Res. 113, D14220: absorption of ice.
"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from radsens.schema import Frozen
from radsens.transfer.surfaces import Surface

LARGEST = 5.0
"""Largest effective radius of an aerosol mode [µm] (assumed: coarse desert dust has 2 to 3)."""

AEROSOL_TOP = 2.0
"""Height below which aerosols are mixed with air [km] (assumed: a usual boundary layer)."""

# Hale & Querry 1973, table I, wavelength [µm], real and imaginary index (recalled). That table has no point near the channel at
# 2130 nm, and a straight line from 2000 to 2200 nm gives 5.7e-4 there; about 3.5e-4 is measured (Kou et al. 1993, recalled).
WATER = np.array(
    [
        (0.400, 1.339, 1.86e-9),
        (0.450, 1.337, 1.02e-9),
        (0.500, 1.335, 1.00e-9),
        (0.550, 1.333, 1.96e-9),
        (0.600, 1.332, 1.09e-8),
        (0.650, 1.331, 1.64e-8),
        (0.700, 1.331, 3.35e-8),
        (0.750, 1.330, 1.56e-7),
        (0.800, 1.329, 1.25e-7),
        (0.850, 1.329, 2.93e-7),
        (0.900, 1.328, 4.86e-7),
        (1.000, 1.327, 2.89e-6),
        (1.200, 1.324, 9.89e-6),
        (1.400, 1.321, 1.38e-4),
        (1.600, 1.317, 8.55e-5),
        (1.800, 1.312, 1.15e-4),
        (2.000, 1.306, 1.10e-3),
        (2.130, 1.300, 3.5e-4),
        (2.200, 1.296, 2.89e-4),
    ]
)

# Single-scattering albedo of ice crystals of 30 µm, wavelength [µm] (assumed, of the order that the absorption of Warren &
# Brandt 2008 gives: none in the visible, some per cent in the short-wave infrared).
ICE_ALBEDO = np.array(
    [(0.40, 1.0), (1.00, 0.9999), (1.30, 0.998), (1.38, 0.990), (1.50, 0.93), (1.65, 0.95), (2.00, 0.90), (2.20, 0.93)]
)


class Mode(Frozen):
    """Spheres of one kind, their sizes spread lognormally."""

    median_radius: float = Field(gt=0.005, le=5, description="median radius of the number distribution [µm]")
    ln_sigma: float = Field(gt=0.05, le=1.2, description="standard deviation of the logarithm of the radius [1]")
    index: float = Field(gt=1, le=2.5, description="real refractive index, the same at all wavelengths [1]")
    absorption: float = Field(0, ge=0, le=0.5, description="imaginary refractive index, the same at all wavelengths [1]")
    thickness: float = Field(ge=0, le=5, description="vertical optical thickness at 550 nm [1]")

    @model_validator(mode="after")
    def not_larger_than_aerosols(self) -> Self:
        """Mie series of larger spheres take minutes; the effective radius is r exp(5σ²/2) (Hansen & Travis 1974, 2.60)."""
        effective = self.median_radius * np.exp(2.5 * self.ln_sigma**2)
        if effective > LARGEST:
            raise ValueError(
                f"median_radius: with this ln_sigma the effective radius is {effective:.3g} µm, at most {LARGEST:g} is aerosol"
            )
        return self


class LiquidCloud(Frozen):
    """Water droplets, their sizes in a gamma distribution (Hansen & Travis 1974, equation 2.56)."""

    kind: Literal["liquid"] = Field(description="water droplets")
    thickness: float = Field(10, gt=0, le=100, description="vertical optical thickness [1]")
    effective_radius: float = Field(10, ge=3, le=25, description="effective radius of the droplets [µm]")
    effective_variance: float = Field(0.05, ge=0.01, le=0.3, description="effective variance of the droplets [1]")
    top: float = Field(2, ge=0, le=15, description="height of the top [km]")


class IceCloud(Frozen):
    """Roughened crystals, whose scattering matrix has no features; an approximation (radsens.transfer.optics.ice)."""

    kind: Literal["ice"] = Field(description="ice crystals, by a featureless approximate scattering matrix")
    thickness: float = Field(5, gt=0, le=100, description="vertical optical thickness [1]")
    asymmetry: float = Field(0.76, ge=0.7, le=0.85, description="asymmetry parameter of the scattering matrix [1]")
    top: float = Field(10, ge=0, le=18, description="height of the top [km]")


Cloud = Annotated[LiquidCloud | IceCloud, Field(discriminator="kind")]


class State(Frozen):
    """An atmosphere over a surface."""

    surface: Surface = Field(description="the ground")
    aerosols: tuple[Mode, ...] = Field((), max_length=4, description="kinds of aerosol, mixed with the lowest air")
    cloud: Cloud | None = Field(None, description="the cloud above; none if not given")

    @property
    def height(self) -> float:
        """Height of the layer that sends most light back, which bounds the absorption by gases [km]."""
        return self.cloud.top if self.cloud else 0.0


def water_index(wavelength: float) -> complex:
    """Refractive index of liquid water n − ik at a wavelength [nm], between the points of `WATER`."""
    x = wavelength / 1000
    return complex(np.interp(x, WATER[:, 0], WATER[:, 1]), -float(np.interp(x, WATER[:, 0], WATER[:, 2])))


def ice_albedo(wavelength: float) -> float:
    """Single-scattering albedo of ice crystals at a wavelength [nm], between the points of `ICE_ALBEDO`."""
    return float(np.interp(wavelength / 1000, ICE_ALBEDO[:, 0], ICE_ALBEDO[:, 1]))
