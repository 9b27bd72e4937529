"""Closed-form image of a clear ocean: single Rayleigh scattering over a Cox-Munk sun glint.

The instrument looks at the nadir from `altitude` over a spherical Earth lit by a sun at infinity, without refraction;
the atmosphere is plane parallel at each ground pixel. The signal, as normalised radiance πL/E₀, is the sum of

* single scattering by air, partly depolarising, over a black surface;
* the sun's beam reflected by the facets of a wind-roughened sea, attenuated on its two ways;
* multiple scattering of the scalar atmosphere, taken as unpolarised;
* a Lambertian surface (foam, water-leaving light, haze), unpolarised.

All the polarised light comes from one scattering or one reflection, so that it vibrates across the plane that holds
the sun and the line of sight; sky light reflected by the sea and polarised multiple scattering (the neutral points)
are left to scenes with radiative transfer: against vector adding-doubling of the same air and sea, I is up to 22 % low
and DoLP within 0.12. There is no gas absorption, in 763NP, 765NP and 910NP either.

References
----------
Gordon, H. R. et al. (1983), Applied Optics 22, 20.
Hansen, J. E. and Travis, L. D. (1974), Space Science Reviews 16, 527.
Sobolev, V. V. (1975), Light Scattering in Planetary Atmospheres, Pergamon.
Young, A. T. (1980), Applied Optics 19, 3427.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from radsens.elementary import cos, exp, sin
from radsens.instrument import DEGREE, Detector, Polarimeter, dot, line_of_sight, transported_axes
from radsens.scenes.pixels import places
from radsens.schema import Fault, Frozen, Scene
from radsens.transfer.facets import cos_incidence, facet_density, fresnel, slope_variance

EARTH_RADIUS = 6371.0
"""Mean radius of the Earth [km] (IUGG)."""

LOWEST = 0.05
"""Smallest cosine of a zenith angle for which the atmosphere is taken as plane parallel, 3° above the horizon [1]."""

CLASSES = ("ocean", "glint")


class Analytic(Frozen):
    """Clear ocean with sun glint over the whole field of view."""

    kind: Literal["analytic"] = Field(description="closed-form clear ocean with sun glint, over the whole field of view")
    solar_zenith: float = Field(40, ge=0, le=75, description="solar zenith angle at the nadir point [deg]")
    solar_azimuth: float = Field(
        60,
        ge=-360,
        le=360,
        description="azimuth of the sun, and of the glint, from +x towards +y of the focal plane [deg]",
    )
    altitude: float = Field(705, ge=100, le=2000, description="altitude of the satellite [km]")
    wind_speed: float = Field(5, ge=1, le=15, description="wind speed, which sets the roughness of the sea [m/s]")
    refractive_index: float = Field(1.34, ge=1.2, le=1.5, description="real refractive index of sea water [1]")
    depolarisation: float = Field(0.0279, ge=0, le=0.5, description="depolarisation factor of air (Young 1980) [1]")
    surface_reflectance: float = Field(
        0.01, ge=0, le=1, description="Lambertian, unpolarised reflectance of foam, water and haze [1]"
    )
    glint_angle: float = Field(
        30, ge=0, le=90, description="pixels closer than this to the specular direction are of class glint [deg]"
    )
    step: int = Field(1, ge=1, le=64, description="keep one row and one column out of this many, 1 for the full image [1]")


@dataclass(frozen=True)
class Geometry:
    """Directions of each pixel, in the axes of the instrument.

    Attributes
    ----------
    sight : (3, pixel) unit vector from the instrument to the ground pixel
    sun : (3, 1) unit vector to the sun
    zenith : (3, pixel) unit vector to the zenith of the ground pixel
    mu, mu0 : (pixel,) cosines of the view and solar zenith angles
    cos_scattering : (pixel,) cosine of the scattering angle Θ
    cos_glint : (pixel,) cosine of the angle between the line of sight and the specular ray
    across : (3, pixel) sun × sight, of length sin Θ, normal to the scattering plane
    """

    sight: np.ndarray
    sun: np.ndarray
    zenith: np.ndarray
    mu: np.ndarray
    mu0: np.ndarray
    cos_scattering: np.ndarray
    cos_glint: np.ndarray
    across: np.ndarray


class Look(NamedTuple):
    """Directions of the pixels of a detector, `polarisation_turn` of them, and the fields of a scene but band and Stokes."""

    directions: Geometry
    turn: tuple[np.ndarray, np.ndarray]
    pixels: dict[str, Any]


def render(spec: Analytic, instrument: Polarimeter, bands: tuple[str, ...]) -> Iterator[Scene]:
    """Analytic scene: the whole focal plane, one row and column out of `step`."""
    looks: dict[str, Look] = {}
    for band in bands:
        detector = instrument.detector(band)
        if detector.name not in looks:
            looks[detector.name] = look(spec, detector)
        directions, turn, pixels = looks[detector.name]
        thickness = instrument.band(band).rayleigh_optical_thickness
        yield Scene(band=band, stokes=radiances(spec, thickness, directions, turn), **pixels)


def look(spec: Analytic, detector: Detector) -> Look:
    """What all bands of a detector share."""
    address = detector.focal_plane.every(spec.step)
    pixels = places(detector, address)
    directions = geometry(spec, pixels["x"], pixels["y"])
    pixels |= {
        "scene_class": (directions.cos_glint > cos(DEGREE * spec.glint_angle)).astype(np.int64),
        "class_names": CLASSES,
        "geometry": _angles(directions),
    }
    return Look(directions, polarisation_turn(directions, pixels["x"], pixels["y"]), pixels)


def geometry(spec: Analytic, x: np.ndarray, y: np.ndarray) -> Geometry:
    """Directions of the pixels at focal-plane coordinates `x`, `y` (pixel,) over a spherical Earth."""
    sight = line_of_sight(x, y)
    height = 1 + spec.altitude / EARTH_RADIUS
    along = sight[2] * height
    discriminant = along * along - (height * height - 1)
    zenith = (along - np.sqrt(np.maximum(discriminant, 0.0))) * sight
    zenith[2] -= height
    tilt, azimuth = DEGREE * spec.solar_zenith, DEGREE * spec.solar_azimuth
    sun = np.array([sin(tilt) * cos(azimuth), sin(tilt) * sin(azimuth), -cos(tilt)]).reshape(3, 1)
    mu, mu0 = -dot(sight, zenith), dot(sun, zenith)
    if not ((discriminant > 0) & (mu > LOWEST)).all():
        raise Fault(f"scene.altitude: from {spec.altitude:g} km the field of view reaches the horizon; lower it")
    if not (mu0 > LOWEST).all():
        raise Fault(f"scene.solar_zenith: at {spec.solar_zenith:g} deg the sun sets in part of the field; lower it")
    return Geometry(
        sight=sight,
        sun=sun,
        zenith=zenith,
        mu=mu,
        mu0=mu0,
        cos_scattering=dot(sun, sight),
        cos_glint=dot(sun, sight) + 2 * mu0 * mu,
        across=_cross(sun, sight),
    )


def polarisation_turn(directions: Geometry, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin²Θ cos 2χ and sin²Θ sin 2χ, in the focal plane, of light polarised across the scattering plane, (pixel,) [1].

    χ is the angle of sun × sight on the focal-plane axes carried to the line of sight; the factor sin²Θ, common to
    Rayleigh and to Fresnel polarisation, makes both regular towards Θ = 0 and 180°.
    """
    first, second = transported_axes(x, y)
    a, b = dot(directions.across, first), dot(directions.across, second)
    return a * a - b * b, 2 * a * b


def radiances(spec: Analytic, thickness: float, directions: Geometry, turn: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """I, Q, U of one band in the focal-plane frame, (3, pixel) [1].

    Parameters
    ----------
    thickness : vertical Rayleigh optical thickness τ [1]
    directions, turn : geometry of the pixels and `polarisation_turn` of it
    """
    air, air_polarised = air_light(directions, thickness, spec.depolarisation)
    sea, sea_polarised = glint(directions, thickness, spec.wind_speed, spec.refractive_index)
    i = air + sea + multiple_scattering(directions.mu, directions.mu0, thickness)
    i = i + surface(directions.mu, directions.mu0, thickness, spec.surface_reflectance)
    polarised = air_polarised + sea_polarised
    return np.stack([i, polarised * turn[0], polarised * turn[1]])


def air_light(directions: Geometry, thickness: float, depolarisation: float) -> tuple[np.ndarray, np.ndarray]:
    """Single Rayleigh scattering: radiance, and polarised radiance per sin²Θ, (pixel,) [1].

    πL/E₀ = P(Θ) μ₀ [1 − exp(−τ m)] / (4 (μ + μ₀)), m = 1/μ + 1/μ₀; with depolarisation factor δ and
    Δ = (1 − δ) / (1 + δ/2): P11 = ¾ Δ (1 + cos²Θ) + 1 − Δ, P12 = −¾ Δ sin²Θ: across the scattering plane, DoLP at 90°
    (1 − δ) / (1 + δ). Reference: Hansen & Travis 1974, equations 2.15 and 2.16.
    """
    mu, mu0, c = directions.mu, directions.mu0, directions.cos_scattering
    path = mu0 * (1 - exp(-thickness * (1 / mu + 1 / mu0))) / (4 * (mu + mu0))
    delta = (1 - depolarisation) / (1 + depolarisation / 2)
    return path * (0.75 * delta * (1 + c * c) + 1 - delta), path * (0.75 * delta)


def glint(directions: Geometry, thickness: float, wind_speed: float, refractive_index: float) -> tuple[np.ndarray, np.ndarray]:
    """Sun glint: radiance, and polarised radiance per sin²Θ, (pixel,) [1].

    πL/E₀ = π p(β) ρ(ω) exp(−τ m) / (4 μ cos⁴β), with facets of tilt β as dense as `facet_density` says, and Fresnel's
    reflectance ρ at the incidence ω.
    """
    mu, mu0 = directions.mu, directions.mu0
    incidence = cos_incidence(directions.cos_scattering)
    density = facet_density((mu + mu0) / (2 * incidence), slope_variance(wind_speed))
    beam = density * exp(-thickness * (1 / mu + 1 / mu0)) / mu
    reflected, polarised, _ = fresnel(incidence, refractive_index)
    return beam * reflected, beam * polarised


def multiple_scattering(mu: np.ndarray, mu0: np.ndarray, thickness: float) -> np.ndarray:
    """Light scattered more than once by a conservative layer over a black surface, (pixel,) [1].

    πL/E₀ = μ₀ {1 − R(μ) R(μ₀) / (4 + 3τ) + [3 μ μ₀ − 2 (μ + μ₀)] r}, R(μ) = 1 + 3μ/2 + (1 − 3μ/2) exp(−τ/μ),
    r = [1 − exp(−τ m)] / (4 (μ + μ₀)): Sobolev's approximation for a phase function without first moment, as
    Rayleigh's (Sobolev 1975), minus its single scattering. It is of order τ².
    """
    escape, escape0 = (1 + 1.5 * m + (1 - 1.5 * m) * exp(-thickness / m) for m in (mu, mu0))
    first = (1 - exp(-thickness * (1 / mu + 1 / mu0))) / (4 * (mu + mu0))
    return mu0 * (1 - escape * escape0 / (4 + 3 * thickness) + (3 * mu * mu0 - 2 * (mu + mu0)) * first)


def surface(mu: np.ndarray, mu0: np.ndarray, thickness: float, reflectance: float) -> np.ndarray:
    """Light of a Lambertian surface through the atmosphere, (pixel,) [1].

    πL/E₀ = μ₀ ρ t(μ) t(μ₀), diffuse transmittance t(μ) = exp(−τ / 2μ) (Gordon et al. 1983).
    """
    return mu0 * reflectance * exp(-thickness / 2 * (1 / mu + 1 / mu0))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _angles(directions: Geometry) -> dict[str, np.ndarray]:
    """Angles for drawing [deg]; the relative azimuth of sun and instrument seen from the ground is 180 in the glint."""
    sight, sun, zenith = directions.sight, directions.sun, directions.zenith
    to_sun, to_instrument = sun - directions.mu0 * zenith, -sight - directions.mu * zenith
    azimuth = np.arctan2(dot(_cross(to_sun, to_instrument), zenith), dot(to_sun, to_instrument))
    cosines = {
        "sza": directions.mu0,
        "vza": directions.mu,
        "scattering_angle": directions.cos_scattering,
        "glint_angle": directions.cos_glint,
    }
    angles = {name: np.arccos(np.clip(cosine, -1, 1)) / DEGREE for name, cosine in cosines.items()}
    return {**angles, "relative_azimuth": np.abs(azimuth) / DEGREE}
