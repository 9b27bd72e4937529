"""Imager with triplets of polarisers: from Stokes vectors to counts and back.

    DN_a = f(S_a) + C,    S_a = A t T_a P(θ) g_a [P₁ I + P₂ Q + P₃ U]

(Hagolle et al. 1999, IEEE TGRS 37(3) 1550; POLDER L1 user manual, appendix F.) The polarimetric response is the first
row of the Mueller product of a polariser (efficiency η, orientation α) behind optics of diattenuation ε along the
azimuth φ, in its exact form. It factorises:

    [P₁, P₂, P₃]_a = [1, η_a cos 2α_a, η_a sin 2α_a] · O(ε, φ)

so that a modified triplet costs one 3×3 inverse per realisation, and O stays fixed per pixel. All Stokes vectors are in
the focal-plane frame. An unpolarised band is one sample with η = 0; its retrieval is given the reference q₀, u₀.
"""

import numpy as np

from radsens import elementary
from radsens.gaps.quantities import QUANTITIES, gap_row, intensity_gap_row
from radsens.instrument import double_azimuth, even_polynomial
from radsens.kernel import chain, fma, kernel, like
from radsens.models.irm import IRM, nominal
from radsens.random import field, field_row
from radsens.schema import Scene

__all__ = ["IRM", "QUANTITIES", "measure", "nominal", "parameters", "pixel_table", "retrieve", "simulate", "switches"]

# Rows of the pixel table: what is fixed in a pixel.
B, K, INVERSE_K, J, Q0, U0, P0, S_MEAN, TABLE_ROWS = 0, 3, 6, 9, 15, 16, 17, 18, 19
# Columns of the parameter table: what is fixed in a realisation.
FORWARD, INVERSE, CURVE, LINEARISE, HF_ACTUAL, HF_BELIEVED, NOISE, DARK, DARK_BELIEVED, TOP, PARAMETERS = (
    0, 9, 18, 20, 22, 24, 26, 29, 30, 31, 32,
)  # fmt: skip
# Switches: which stages a campaign needs; a stage that is off is the identity.
ORDER_ACTUAL, ORDER_BELIEVED, FIELD_ACTUAL, FIELD_BELIEVED, NOISE_MODEL, QUANTISE, SATURATE, SWITCHES = range(8)
NO_NOISE, SNR, READ_SHOT = range(3)
NEWTON_STEPS = 7

OK = "ok"
REASONS = (OK, "unphysical efficiency", "unphysical transmission", "non-linearity not invertible", "singular triplet")


def analyser(irm: IRM) -> np.ndarray:
    """Rows [1, η cos 2α, η sin 2α] of the triplet, (..., sample, 3) [1]."""
    eta, angle = irm.efficiency, 2 * irm.orientation
    rows = (np.ones_like(eta * angle), eta * elementary.cos(angle), eta * elementary.sin(angle))
    return np.stack(rows, axis=-1)


def optics(irm: IRM, scene: Scene) -> np.ndarray:
    """Matrix O(ε, φ) of the optics in each pixel, (3, 3, pixel) [1]: Mueller matrix of a diattenuator of transmission
    1 ± ε along φ (Goldstein 2011, Polarized Light, ch. 5), V left out."""
    eps = even_polynomial(irm.optics_polarisation, scene.theta)
    c, s = double_azimuth(scene.x, scene.y)
    kappa = np.sqrt(1 - eps * eps)
    cross = (1 - kappa) * c * s
    one = np.ones_like(eps)
    return np.array([[one, eps * c, eps * s], [eps * c, c * c + kappa * s * s, cross], [eps * s, cross, s * s + kappa * c * c]])


def inverse(m: np.ndarray) -> np.ndarray:
    """Inverse of 3×3 matrices by cofactors, (..., 3, 3); infinite or NaN where singular. No LAPACK: its bits change."""
    a, b, c = (m[..., 0, j] for j in range(3))
    d, e, f = (m[..., 1, j] for j in range(3))
    g, h, i = (m[..., 2, j] for j in range(3))
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0])
        return np.stack([np.stack([x * scale for x in row], axis=-1) for row in cofactors], axis=-2)


def pixel_table(irm: IRM, scene: Scene, place: str) -> np.ndarray:
    """What the kernels need of each pixel, from the nominal model: (TABLE_ROWS, pixel) float64.

    B = O S, K_a = P(θ) g_a and its inverse, J = O⁻¹ / I (six entries of the symmetric matrix; 1 / B₀ for an unpolarised
    band), reference q, u, DoLP, and the mean nominal signal of the samples [count]. `place` addresses the known g field.
    """
    intensity, q, u = scene.stokes
    o = optics(irm, scene)
    t = np.zeros((TABLE_ROWS, intensity.size))
    t[B : B + 3] = [row[0] * intensity + row[1] * q + row[2] * u for row in o]
    falloff = 1 + even_polynomial(irm.low_frequency, scene.theta)
    samples = irm.relative_transmission.shape[-1]
    g = 1 + irm.high_frequency * field(0, "inter_pixel", place, 0, scene.detector)[:samples].astype(float)
    t[K : K + samples] = falloff * g
    t[INVERSE_K : INVERSE_K + samples] = 1 / t[K : K + samples]
    weights = irm.sample_gain[:, None] * analyser(irm)
    signal = [t[K + a] * (w[0] * t[B] + w[1] * t[B + 1] + w[2] * t[B + 2]) for a, w in enumerate(weights)]
    t[S_MEAN] = sum(signal) / samples
    if irm.polarised:
        inverted = inverse(np.moveaxis(o, -1, 0))
        entries = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        t[J : J + 6] = [inverted[:, i, j] / intensity for i, j in entries]
        t[Q0], t[U0] = q / intensity, u / intensity
        t[P0] = np.sqrt(t[Q0] * t[Q0] + t[U0] * t[U0])
    else:
        t[J] = 1 / t[B]
    return t


def curve(irm: IRM) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (c₁, c₂) of f(S) = S (c₁ + c₂ S^(n−1)), n the order.

    f(S) = S [1 + b ((S/S_fs)^(n−1) − x₀^(n−1))], b the deviation at full scale (physics: POLDER-1's "small non-linearity
    defect"; the form is a choice of this package, see docs/method.md).
    """
    b, power = np.asarray(irm.non_linearity, dtype=float), irm.non_linearity_order - 1
    return 1 - b * irm.calibrated_at**power, b / irm.full_scale**power


def monotone(irm: IRM) -> np.ndarray:
    """Whether f rises from zero to full scale, so that it has an inverse: f′ = c₁ + n c₂ S^(n−1) > 0 at both ends."""
    c1, _ = curve(irm)
    return (c1 > 0) & (c1 + irm.non_linearity_order * np.asarray(irm.non_linearity) > 0)


def parameters(actual: IRM, believed: IRM, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What the kernels need of each realisation.

    Parameters
    ----------
    actual, believed : model that measures and model that retrieves; arrays have `count` realisations or none
    count : number of realisations

    Returns
    -------
    (realisation, PARAMETERS) float64, and the index into `REASONS` of each realisation's outcome
    """
    p = np.zeros((count, PARAMETERS))
    samples = 3 if actual.polarised else 1
    gains = actual.sample_gain[..., None] * analyser(actual)
    p[:, FORWARD : FORWARD + 3 * samples] = np.broadcast_to(gains, (count, samples, 3)).reshape(count, -1)
    matrix, divisor = analyser(believed), believed.sample_gain
    with np.errstate(divide="ignore", invalid="ignore"):
        back = inverse(matrix) / divisor[..., None, :] if believed.polarised else 1 / divisor[..., None]
    p[:, INVERSE : INVERSE + samples * samples] = np.broadcast_to(back, (count, samples, samples)).reshape(count, -1)
    p[:, CURVE], p[:, CURVE + 1] = curve(actual)
    p[:, LINEARISE], p[:, LINEARISE + 1] = curve(believed)
    for column, irm in ((HF_ACTUAL, actual), (HF_BELIEVED, believed)):
        p[:, column] = irm.high_frequency_error * np.sqrt(irm.high_frequency_correlation)
        p[:, column + 1] = irm.high_frequency_error * np.sqrt(1 - irm.high_frequency_correlation)
    p[:, NOISE : NOISE + 3] = 1 / actual.snr, actual.read_noise**2, actual.shot
    p[:, DARK], p[:, DARK_BELIEVED], p[:, TOP] = actual.dark, believed.dark, 2**actual.bits - 1
    return p, outcomes(actual, believed, p)


def outcomes(actual: IRM, believed: IRM, p: np.ndarray) -> np.ndarray:
    """Index into `REASONS` of each realisation: an actual model must be physical, a believed one invertible."""
    checks = (
        ((actual.extinction < 0) | (actual.extinction > 1)).any(-1),
        (actual.relative_transmission <= 0).any(-1),
        ~(monotone(actual) & monotone(believed)),
        ~np.isfinite(p).all(axis=1),
    )
    found = np.zeros(len(p), dtype=np.int8)
    for reason, failed in reversed(list(enumerate(checks, start=1))):
        found[np.broadcast_to(failed, found.shape)] = reason
    return found


def switches(actual: IRM, believed: IRM) -> np.ndarray:
    """Which stages are on, (SWITCHES,) int64: decided by the campaign's settings, never by a draw."""
    order = [irm.non_linearity_order if np.ndim(irm.non_linearity) or irm.non_linearity else 0 for irm in (actual, believed)]
    noise = SNR if np.isfinite(actual.snr) else READ_SHOT if actual.read_noise or actual.shot else NO_NOISE
    fields = [int(irm.high_frequency_error > 0) for irm in (actual, believed)]
    return np.array([*order, *fields, noise, actual.quantisation, actual.saturation], dtype=np.int64)


@kernel
def signal(x, k, b0, b1, b2, t, u, v):
    """S = K (t B₀ + u B₁ + v B₂) [count] (pixel): (t, u, v) = A t_m T_a (1, η cos 2α, η sin 2α)."""
    for i in range(x.size):
        x[i] = k[i] * fma(v, b2[i], fma(u, b1[i], t * b0[i]))


@kernel
def inter_pixel(x, common, own, sigma_common, sigma_own):
    """S (1 + h), h = σ (√ρ z₀ + √(1−ρ) z_a) (pixel)."""
    for i in range(x.size):
        x[i] = fma(x[i], fma(sigma_common, common[i], sigma_own * like(sigma_own, own[i])), x[i])


@kernel
def undo_inter_pixel(x, common, own, sigma_common, sigma_own):
    """S / (1 + h), with the h of `inter_pixel` (pixel)."""
    for i in range(x.size):
        h = fma(sigma_common, common[i], sigma_own * like(sigma_own, own[i]))
        x[i] = x[i] / (like(h, 1.0) + h)


@kernel
def bend(x, c1, c2, order):
    """f(S) = S (c₁ + c₂ S^(order−1)) [count] (pixel)."""
    if order == 2:
        for i in range(x.size):
            x[i] = x[i] * fma(c2, x[i], c1)
    else:
        for i in range(x.size):
            x[i] = x[i] * fma(c2, x[i] * x[i], c1)


@kernel
def unbend(x, c1, c2, order):
    """f⁻¹(y) [count] (pixel), NaN above the maximum of f: 2y / (c₁ + √(c₁² + 4 c₂ y)) for order 2, Newton for order 3.

    For c₂ > 0 Newton starts from the smaller of y / c₁ and √(y / 2√(c₁ c₂)), both above the root (c₁ S + c₂ S³ ≥ 2√(c₁ c₂)
    S²), and falls onto it. For c₂ < 0, v being y over the maximum of f, from the least curve that has the slope 2/3 of
    f⁻¹ at v = 0 and its square root at v = 1.
    """
    if order == 2:
        four = like(c1, 4.0) * c2
        for i in range(x.size):
            x[i] = (x[i] + x[i]) / (c1 + np.sqrt(fma(four, x[i], c1 * c1)))
        return
    one, three = like(c1, 1.0), like(c1, 3.0) * c2
    over_top, over_square = like(c1, 1.5) * np.sqrt(abs(three) / c1) / c1, like(c1, 0.5) / np.sqrt(c1 * abs(c2))
    for i in range(x.size):
        y = x[i]
        s = y / c1
        if c2 < like(c2, 0.0):
            v = y * over_top
            root = np.sqrt(one - v) * np.sqrt(one - v / like(v, 3.0))
            s = s * (like(v, 4.0) - v) / (like(v, 2.0) * (one + root))
        else:
            bound = np.sqrt(y * over_square)
            s = bound if bound < s else s
        for _ in range(NEWTON_STEPS):
            s2 = s * s
            s = s - (s * fma(c2, s2, c1) - y) / fma(three, s2, c1)
        x[i] = s


@kernel
def offset(x, dark):
    """DN = f(S) + C, or y = DN − C with −C [count] (pixel)."""
    for i in range(x.size):
        x[i] = x[i] + dark


@kernel
def noise_snr(x, mean, z, inverse_snr):
    """DN + σ z, σ = S̄ / snr, S̄ the mean nominal signal of the samples [count] (pixel)."""
    for i in range(x.size):
        x[i] = fma(inverse_snr * mean[i], z[i], x[i])


@kernel
def noise_read_shot(x, dark, z, read2, shot):
    """DN + σ z, σ² = σ_read² + s (DN − C): the linear camera model of EMVA 1288 [count] (pixel)."""
    for i in range(x.size):
        s = x[i] - dark
        s = s if s > like(s, 0.0) else like(s, 0.0)
        x[i] = fma(np.sqrt(fma(shot, s, read2)), z[i], x[i])


@kernel
def quantise(x):
    """The nearest integer count, ties to even (pixel)."""
    for i in range(x.size):
        x[i] = np.rint(x[i])


@kernel
def saturate(x, hit, top):
    """min(DN, 2^bits − 1) [count]; hit becomes 1 where a sample is cut (pixel)."""
    for i in range(x.size):
        hit[i] = like(hit[i], 1.0) if x[i] > top else hit[i]
        x[i] = top if x[i] > top else x[i]


@kernel
def stokes(x, j, m, s):
    """(I, Q, U)' / I_ref = J · M · X: M = analyser⁻¹ / (A t_m T), J = O⁻¹ / I_ref (3, pixel)."""
    for i in range(s.shape[1]):
        x0, x1, x2 = x[0, i], x[1, i], x[2, i]
        b0 = fma(m[0], x0, fma(m[1], x1, m[2] * x2))
        b1 = fma(m[3], x0, fma(m[4], x1, m[5] * x2))
        b2 = fma(m[6], x0, fma(m[7], x1, m[8] * x2))
        s[0, i] = fma(j[0, i], b0, fma(j[1, i], b1, j[2, i] * b2))
        s[1, i] = fma(j[1, i], b0, fma(j[3, i], b1, j[4, i] * b2))
        s[2, i] = fma(j[2, i], b0, fma(j[4, i], b1, j[5, i] * b2))


@chain
def measure(x, hit, a, pixels, fields, p, switch):
    """Counts of sample a of a row of pixels: the chain of the module's docstring, then noise, quantisation, saturation."""
    signal(x, pixels[K + a], pixels[B], pixels[B + 1], pixels[B + 2], p[3 * a], p[3 * a + 1], p[3 * a + 2])
    if switch[FIELD_ACTUAL]:
        inter_pixel(x, fields[0], fields[1 + a], p[HF_ACTUAL], p[HF_ACTUAL + 1])
    if switch[ORDER_ACTUAL]:
        bend(x, p[CURVE], p[CURVE + 1], switch[ORDER_ACTUAL])
    offset(x, p[DARK])
    if switch[NOISE_MODEL] == SNR:
        noise_snr(x, pixels[S_MEAN], fields[4 + a], p[NOISE])
    if switch[NOISE_MODEL] == READ_SHOT:
        noise_read_shot(x, p[DARK], fields[4 + a], p[NOISE + 1], p[NOISE + 2])
    if switch[QUANTISE]:
        quantise(x)
    if switch[SATURATE]:
        saturate(x, hit, p[TOP])


@chain
def retrieve(x, a, pixels, fields, p, switch):
    """From counts of sample a to f⁻¹(DN − C) / (P g_a), with the believed parameters: a row of pixels."""
    offset(x, -p[DARK_BELIEVED])
    if switch[ORDER_BELIEVED]:
        unbend(x, p[LINEARISE], p[LINEARISE + 1], switch[ORDER_BELIEVED])
    if switch[FIELD_BELIEVED]:
        undo_inter_pixel(x, fields[0], fields[1 + a], p[HF_BELIEVED], p[HF_BELIEVED + 1])
    inverse_k = pixels[INVERSE_K + a]
    for i in range(x.size):
        x[i] = x[i] * inverse_k[i]


@chain
def simulate(gaps, x, s, hit, fields, work, pixels, detector, sample, realisation, keys, p, switch):
    """Gaps of a row of pixels in one realisation: retrieve(measure(S; actual); believed) − S.

    gaps (quantity, pixel) is filled; x (sample, pixel), s (3, pixel), hit (pixel), fields (8, pixel) float32 and work (4,
    pixel) uint32 are scratch; detector and sample (pixel) uint32 are the addresses; keys (2, 4) those of the HF and noise fields.
    """
    if switch[FIELD_ACTUAL] or switch[FIELD_BELIEVED]:
        field_row(fields[:4], work, detector, realisation, keys[0])
    if switch[NOISE_MODEL]:
        field_row(fields[4:], work, sample, realisation, keys[1])
    hit[:] = 0.0
    for a in range(x.shape[0]):
        measure(x[a], hit, a, pixels, fields, p, switch)
        retrieve(x[a], a, pixels, fields, p, switch)
    if x.shape[0] == 3:
        stokes(x, pixels[J : J + 6], p[INVERSE : INVERSE + 9], s)
        gap_row(gaps, s, pixels[Q0], pixels[U0], pixels[P0])
    else:
        intensity_gap_row(gaps[0], x[0], pixels[J], p[INVERSE])
