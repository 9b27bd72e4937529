"""Reflection by plane facets: Fresnel's laws, and the slopes and shadows of a wind-roughened sea.

A facet that sends light of the sun to the instrument halves the angle 180° − Θ between them, so that its plane of
incidence is the scattering plane and its angle of incidence ω is (180° − Θ) / 2.

References
----------
Born, M. and Wolf, E. (1999), Principles of Optics, 7th ed., Cambridge University Press.
Cox, C. and Munk, W. (1954), Journal of the Optical Society of America 44, 838.
Mishchenko, M. I. and Travis, L. D. (1997), Journal of Geophysical Research 102, 16989.
Smith, B. G. (1967), IEEE Transactions on Antennas and Propagation 15, 668.
"""

import numpy as np

from radsens.elementary import exp, ndtr

LOWEST_EXPONENT = -700.0  # below it `elementary.exp` is outside its domain, and the light is nothing


def cos_incidence(cos_scattering: np.ndarray) -> np.ndarray:
    """Cosine of the angle of incidence ω = (180° − Θ) / 2 on the facet, from cos Θ (...) [1]."""
    return np.sqrt((1 - cos_scattering) / 2)


def fresnel(cos_incidence: np.ndarray, refractive_index: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fresnel reflectance of unpolarised light, its polarised part per sin²2ω, and what it does to +U, (...) [1].

    (r_s² + r_p²)/2, (r_s² − r_p²)/(2 sin²2ω) and r_s r_p at the incidence ω, ω' that of the refracted ray: F11, F22 = F11,
    F12 = −sin²Θ times the second, and F33. r_p = −r_s cos(ω+ω')/cos(ω−ω') turns the difference into
    2 r_s² cos ω cos ω' sin²ω / (n cos²(ω−ω')), without the cancellation at ω = 0; and sin²ω = sin²2ω / (4 cos²ω).
    Reference: Born & Wolf, section 1.5.
    """
    sin2 = 1 - cos_incidence * cos_incidence
    cos_refracted = np.sqrt(1 - sin2 / (refractive_index * refractive_index))
    across = (cos_incidence - refractive_index * cos_refracted) / (cos_incidence + refractive_index * cos_refracted)
    product = cos_incidence * cos_refracted
    minus, plus = product + sin2 / refractive_index, product - sin2 / refractive_index
    along = across * (plus / minus)
    polarised = across * across * cos_refracted / (2 * refractive_index * cos_incidence * minus * minus)
    return (across * across + along * along) / 2, polarised, -across * along


def fresnel_matrix(cos_scattering: np.ndarray, refractive_index: float) -> np.ndarray:
    """F11, F12, F22, F33 of a facet in the scattering plane, from cos Θ (...): (4, ...) [1]."""
    reflected, polarised, crossed = fresnel(cos_incidence(cos_scattering), refractive_index)
    sin2 = 1 - cos_scattering * cos_scattering
    return np.stack([reflected, -polarised * sin2, reflected, crossed])


def slope_variance(wind_speed: float) -> float:
    """Variance σ² of the slopes of the sea, both axes together, at a wind speed W [m/s]: σ² = 0.003 + 0.00512 W [1].

    Reference: Cox & Munk 1954, clean surface.
    """
    return 0.003 + 0.00512 * wind_speed


def facet_density(cos_tilt: np.ndarray, variance: float) -> np.ndarray:
    """π p(β) / (4 cos⁴β), with tilts β in the isotropic density p = exp(−tan²β/σ²) / (π σ²), from cos β (...) [1].

    Times Fresnel's reflectance ρ(ω) and divided by μ μ₀, it is π times the bidirectional reflectance distribution of
    the facets. Reference: Cox & Munk 1954.
    """
    square = cos_tilt * cos_tilt
    return exp(np.maximum(-(1 / square - 1) / variance, LOWEST_EXPONENT)) / (4 * variance * square * square)


def hidden(mu: np.ndarray, variance: float) -> np.ndarray:
    """Λ(μ), mean area of the facets hidden behind others, per visible area, at cosines (...) > 0 of zenith angles θ [1].

    Λ = ½ [exp(−ν²) / (ν √π) − erfc ν], ν = cot θ / σ; facets that the sun lights and the instrument sees are the
    part 1 / (1 + Λ(μ) + Λ(μ₀)). Reference: Smith 1967; for two directions, Mishchenko & Travis 1997.
    """
    nu = mu / np.sqrt(np.maximum(1 - mu * mu, 1e-12) * variance)  # at the zenith, where nothing is hidden, ν is infinite
    tail = 2 * ndtr(-np.sqrt(2.0) * nu)
    return np.maximum(exp(np.maximum(-nu * nu, LOWEST_EXPONENT)) / (nu * np.sqrt(np.pi)) - tail, 0) / 2
