"""Closed-form propagation of calibration errors through an ideal triplet: the oracle, written from the derivation.

An ideal triplet has polarisers at −60°, 0 and +60° of the same transmission, no polarisation of the optics and, where a
formula has `eta`, one common efficiency η. The gaps are (ΔI/I, ΔDoLP, Δχ) per unit of error, with the error in the
instrument: measured with the parameter plus the error, retrieved without. P is the degree of linear polarisation [1], χ
its angle [rad]; sums over the polarisers are taken with c_a = cos 2(χ − α_a), s_a = sin 2(χ − α_a).

Nothing here comes from the package, and no formula is simplified with another one's code: the quadratic forms are
checked against the sums over polarisers in test_closed_forms.py.
"""

import numpy as np

ALPHA = np.radians([-60.0, 0.0, 60.0])


def waves(chi):
    """c_a and s_a, (polariser, ...)."""
    angle = 2 * (np.asarray(chi) - ALPHA.reshape(3, *[1] * np.ndim(chi)))
    return np.cos(angle), np.sin(angle)


# --- an error on one polariser: (quantity, polariser, ...) ------------------------------------------------------------


def orientation(p, chi, eta=1.0):
    """δα_a [rad]."""
    c, s = waves(chi)
    return np.array([2 * p / 3 * eta * s, 2 * p / 3 * s * (2 * c - eta * p), -2 / 3 * s**2])


def transmission(p, chi, eta=1.0):
    """t_a = δT_a / T_a [1]."""
    c, s = waves(chi)
    x = 1 + eta * p * c
    return np.array([x / 3, x * (2 * c / eta - p) / 3, -x * s / (3 * eta * p)])


def efficiency(p, chi, eta=1.0):
    """δη_a [1]."""
    c, s = waves(chi)
    return np.array([p * c / 3, p / 3 * c * (2 * c / eta - p), -c * s / (3 * eta)])


PER_POLARISER = {"orientation": orientation, "transmission": transmission, "efficiency": efficiency}


# --- one error for the triplet: (quantity, ...) -----------------------------------------------------------------------


def diattenuation(p, chi, phi):
    """δε of the optics, along the azimuth φ [rad], for P > 0."""
    return np.array([p * np.cos(2 * (phi - chi)), (1 - p**2) * np.cos(2 * (phi - chi)), np.sin(2 * (phi - chi)) / (2 * p)])


def quadratic(p, chi, x):
    """b of f(S) = S (1 + b S / S_fs); x is the mean signal of the triplet, in units of full scale [1]."""
    k = np.cos(6 * chi)
    return x * np.array([1 + p**2 / 2, p * (1 + p * k / 2 - p**2 / 2), -p / 4 * np.sin(6 * chi)])


def cubic(p, chi, x):
    """b of f(S) = S (1 + b (S / S_fs)²); x as for the quadratic form."""
    k = np.cos(6 * chi)
    dolp = 2 * p + 3 * p**2 * k / 2 - 3 * p**3 / 4 - p**4 * k / 4
    return x**2 * np.array([1 + 3 * p**2 / 2 + p**3 * k / 4, dolp, -3 * p / 4 * np.sin(6 * chi)])


def common_offset(p, x):
    """The same offset on the three counts, exactly: x is the offset over the mean signal of the triplet [1]."""
    return np.array([x, -p * x / (1 + x), 0 * p])


# --- standard deviations for independent errors of the same σ = 1 on the three polarisers: (quantity, ...) ------------


def rms_orientation(p, chi):
    """σ in rad."""
    k = np.cos(6 * chi)
    return np.array([np.sqrt(2 / 3) * p, np.sqrt(2 / 3) * p * np.sqrt(1 + p**2 + 2 * p * k), np.full_like(k, np.sqrt(1 / 2))])


def rms_transmission(p, chi):
    """Also the equalisation noise that is independent in the triplet, and multiplicative noise."""
    k = np.cos(6 * chi)
    dolp = np.sqrt((2 - p**2) ** 2 + p**2 + 2 * p * (2 - p**2) * k) / np.sqrt(6)
    return np.array([np.sqrt((1 + p**2 / 2) / 3), dolp, np.sqrt((2 + p**2 / 2 - 2 * p * k) / 3) / (2 * p)])


def rms_efficiency(p, chi, eta=1.0):
    """σ of η; by general η, from Σc² = 3/2, Σc³ = ¾ cos 6χ, Σc⁴ = 9/8, Σc²s² = 3/8."""
    k = np.cos(6 * chi)
    dolp = p / np.sqrt(6) * np.sqrt(3 / eta**2 + p**2 - 2 * p * k / eta)
    return np.array([p / np.sqrt(6), dolp, np.full_like(k, 1 / (2 * np.sqrt(6) * eta))])


RMS = {"orientation": rms_orientation, "transmission": rms_transmission, "efficiency": rms_efficiency}


# --- the same with a correlation ρ between any two polarisers ---------------------------------------------------------


def correlated_orientation(p, chi, rho):
    """A common orientation error only turns χ."""
    i, dolp, _ = np.sqrt(1 - rho) * rms_orientation(p, chi)
    return np.array([i, dolp, np.full_like(dolp, np.sqrt(rho + (1 - rho) / 2))])


def correlated_transmission(p, chi, rho):
    """A common transmission error only changes I."""
    _, dolp, aolp = np.sqrt(1 - rho) * rms_transmission(p, chi)
    return np.array([np.sqrt(rho + (1 - rho) * (1 + p**2 / 2) / 3), dolp, aolp])


def correlated_efficiency(p, chi, rho, eta=1.0):
    """A common efficiency error only changes the DoLP, by P δη / η."""
    i, dolp, aolp = np.sqrt(1 - rho) * rms_efficiency(p, chi, eta)
    return np.array([i, np.sqrt(rho * (p / eta) ** 2 + dolp**2), aolp])


CORRELATED = {
    "orientation": correlated_orientation,
    "transmission": correlated_transmission,
    "efficiency": correlated_efficiency,
}


# --- noise: σ = 1 is one over the signal-to-noise ratio at the mean signal of the triplet -----------------------------


def additive_noise(p, chi):
    """The same σ on the three samples."""
    one = np.ones_like(chi)
    return np.array([one / np.sqrt(3), np.sqrt(2 / 3) * np.sqrt(1 + p**2 / 2), np.sqrt(2 / 3) / (2 * p)])


def shot_noise(p, chi):
    """Variance proportional to the signal."""
    k = np.cos(6 * chi)
    return np.array([np.full_like(k, np.sqrt(1 / 3)), np.sqrt((2 - p**2 + p * k) / 3), np.sqrt((2 - p * k) / 3) / (2 * p)])


def additive_noise_of_stokes():
    """Standard deviations of (I, Q, U) / I: 4/3 and 8/3 σ_S² where S̄ = I / 2."""
    return np.sqrt([1 / 3, 2 / 3, 2 / 3])


def shot_noise_of_stokes(p, chi):
    """Standard deviations of (I, Q, U) / I."""
    q = p * np.cos(2 * chi)
    return np.sqrt(np.array([np.full_like(q, 1 / 3), 2 / 3 * (1 + q / 2), 2 / 3 * (1 - q / 2)]))


def noise_bias(p, sigma):
    """E[P̂] − P and E[P̂²] − P² under additive noise, to second order."""
    return sigma**2 * (1 / (3 * p) + p / 3), sigma**2 * (4 / 3 + p**2)


# --- bands without polarisers: one sample, I alone --------------------------------------------------------------------


def unpolarised_diattenuation(p, chi, phi):
    """ΔI/I per δε."""
    return p * np.cos(2 * (phi - chi))


def unpolarised_non_linearity(x, order):
    """ΔI/I per b, x the signal in units of full scale."""
    return x ** (order - 1)


# --- the error in the knowledge, exactly, of what is common to the triplet --------------------------------------------


def knowledge_of_efficiency(p, delta, eta):
    """ΔDoLP when η + δη is believed."""
    return -p * delta / (eta + delta)


def knowledge_of_transmission(t):
    """ΔI/I when T (1 + t) is believed."""
    return -t / (1 + t)


def assumed_ideal(p, extinction_ratio):
    """ΔDoLP when perfect polarisers are believed: −2 P / (ER + 1)."""
    return -2 * p / (extinction_ratio + 1)


# --- between quantities -----------------------------------------------------------------------------------------------


def stokes_gaps(p, chi, gaps):
    """ΔQ/I and ΔU/I to first order, from (ΔI/I, ΔDoLP, Δχ): Q = I P cos 2χ, U = I P sin 2χ."""
    i, dolp, aolp = gaps
    c, s = np.cos(2 * chi), np.sin(2 * chi)
    radial = i * p + dolp
    return np.array([radial * c - 2 * p * aolp * s, radial * s + 2 * p * aolp * c])


def efficiency_of(extinction_ratio):
    """η = (ER − 1) / (ER + 1)."""
    return (extinction_ratio - 1) / (extinction_ratio + 1)


def efficiency_per_log_extinction(extinction_ratio):
    """∂η / ∂ ln ρ_e, ρ_e = 1 / ER, at fixed mean transmission."""
    rho = 1 / extinction_ratio
    return -2 * rho / (1 + rho) ** 2
