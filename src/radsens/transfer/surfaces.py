"""Surfaces under the atmosphere: one record per kind, all behind `reflection`."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from radsens.schema import Fault, Frozen
from radsens.transfer.land import Land, land_reflection
from radsens.transfer.ocean import Ocean, ocean_reflection
from radsens.transfer.scattering import Reflection

SHORTEST, LONGEST = 400, 2200
"""Wavelengths that the spectra of all surfaces cover [nm]."""


class Lambertian(Frozen):
    """Surface that reflects alike in all directions, without polarisation."""

    kind: Literal["lambertian"] = Field(description="unpolarised, the same in all directions and at all wavelengths")
    albedo: float = Field(ge=0, le=1, description="part of the light that is reflected [1]")


Surface = Annotated[Ocean | Land | Lambertian, Field(discriminator="kind")]


def lambertian_reflection(albedo: float) -> Reflection:
    """Reflection of a Lambertian surface: the albedo for I, whatever the directions, and nothing else."""

    def reflect(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> np.ndarray:
        matrix = np.zeros((*np.broadcast_shapes(np.shape(mu), np.shape(mu0), np.shape(phi)), 3, 3))
        matrix[..., 0, 0] = albedo
        return matrix

    return reflect


def reflection(surface: Ocean | Land | Lambertian, wavelength: float) -> Reflection:
    """Reflection of a surface at a wavelength [nm], π times its bidirectional reflectance distribution [1].

    Raises
    ------
    Fault : a wavelength that the spectra do not cover
    """
    if not SHORTEST <= wavelength <= LONGEST:
        raise Fault(f"surface: its spectra go from {SHORTEST} to {LONGEST} nm, not to {wavelength:g} nm")
    if isinstance(surface, Ocean):
        return ocean_reflection(surface, wavelength)
    if isinstance(surface, Land):
        return land_reflection(surface, wavelength)
    return lambertian_reflection(surface.albedo)
