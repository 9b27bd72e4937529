"""Imager with triplets of polarisers: from Stokes vectors to counts and back.

    DN_a = f(S_a) + C,    S_a = A t T_a P(θ) g_a [P₁ I + P₂ Q + P₃ U]

(Hagolle et al. 1999, IEEE TGRS 37(3) 1550; POLDER L1 user manual, appendix F.) The polarimetric response is the first
row of the Mueller product of a polariser (efficiency η, orientation α) behind optics of diattenuation ε along the
azimuth φ, in its exact form. It factorises:

    [P₁, P₂, P₃]_a = [1, η_a cos 2α_a, η_a sin 2α_a] · O(ε, φ)

so that a modified triplet costs one 3×3 inverse per realisation, and O stays fixed per pixel.

Only what is wrong is carried through the chain: X⁰ being the signal that the believed triplet expects of the reference, of
which its inverse M makes the reference exactly, every stage acts on the error D = X − X⁰ of a sample, and

    gap = J M (D / K),    K = P g_a,

which is J (M (A − A⁰)) O S for triplets A, A⁰ that measure and that are believed, if no more is wrong.

Nothing is subtracted from a number nearly as large, so that an error keeps its digits in float32 however small it is. All
Stokes vectors are in the focal-plane frame. An unpolarised band is one sample with η = 0; its retrieval is given the
reference q₀, u₀.
"""

import numpy as np

from radsens.gaps.quantities import QUANTITIES, gap_row, intensity_gap_row
from radsens.kernel import chain, fma, formula, kernel, like
from radsens.models.irm import IRM, nominal
from radsens.models.pixels import INVERSE_K, P0, Q0, S_MEAN, U0, B, J, K, analyser, inverse, optics, pixel_table
from radsens.random import field_row

__all__ = ["IRM", "QUANTITIES", "measure", "nominal", "optics", "parameters", "pixel_table", "retrieve", "simulate", "switches"]

# Columns of the parameter table: what is fixed in a realisation.
EXPECTED, WRONG, INVERSE, MISMATCH, CURVE, LINEARISE, HF_ACTUAL, HF_BELIEVED, NOISE, DARK_WRONG, DARK, TOP, PARAMETERS = (
    0, 9, 18, 27, 36, 38, 40, 42, 44, 47, 48, 49, 50,
)  # fmt: skip
# Switches: which stages a campaign needs; a stage that is off is the identity. LINEAR: all of them are off.
ORDER_ACTUAL, ORDER_BELIEVED, FIELD_ACTUAL, FIELD_BELIEVED, NOISE_MODEL, QUANTISE, SATURATE, DARKNESS, LINEAR, SWITCHES = range(
    10
)
NO_NOISE, SNR, READ_SHOT = range(3)
NEWTON_STEPS = 7

OK = "ok"
REASONS = (OK, "unphysical efficiency", "unphysical transmission", "non-linearity not invertible", "singular triplet")


def curve(irm: IRM) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (c₁, c₂) of f(S) − S = S (c₁ + c₂ S^(n−1)), n the order.

    f(S) = S [1 + b ((S/S_fs)^(n−1) − x₀^(n−1))], b the deviation at full scale (physics: POLDER-1's "small non-linearity
    defect"; the form is a choice of this package, see docs/method.md).
    """
    b, power = np.asarray(irm.non_linearity, dtype=float), irm.non_linearity_order - 1
    return -b * irm.calibrated_at**power, b / irm.full_scale**power


def monotone(irm: IRM) -> np.ndarray:
    """Whether f rises from zero to full scale, so that it has an inverse: f′ = 1 + c₁ + n c₂ S^(n−1) > 0 at both ends."""
    c1, _ = curve(irm)
    return (c1 > -1) & (1 + c1 + irm.non_linearity_order * np.asarray(irm.non_linearity) > 0)


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
    measuring, expected = (m.sample_gain[..., None] * analyser(m) for m in (actual, believed))
    wrong = measuring - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        back = inverse(analyser(believed)) / believed.sample_gain[..., None, :] if believed.polarised else 1 / expected[..., :1]
    columns = [(EXPECTED, expected), (WRONG, wrong), (INVERSE, back), (MISMATCH, mismatch(back, wrong))]
    for first, matrix in columns:
        full = np.broadcast_to(matrix, (count, *matrix.shape[-2:])).reshape(count, -1)
        p[:, first : first + full.shape[1]] = full
    p[:, CURVE], p[:, CURVE + 1] = curve(actual)
    p[:, LINEARISE], p[:, LINEARISE + 1] = curve(believed)
    for column, irm in ((HF_ACTUAL, actual), (HF_BELIEVED, believed)):
        p[:, column : column + 2] = equicorrelation(irm.high_frequency_error, irm.high_frequency_correlation, samples)
    p[:, NOISE : NOISE + 3] = 1 / actual.snr, actual.read_noise**2, actual.shot
    p[:, DARK_WRONG], p[:, DARK], p[:, TOP] = np.asarray(actual.dark) - believed.dark, believed.dark, 2**actual.bits - 1
    return p, outcomes(actual, believed, p)


def mismatch(inverse: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """E = M (A − A⁰), (..., 3, 3) [1]: what the inverse M of the believed triplet makes of the error of the one that measures.

    Sums in a fixed order, by no linear algebra library: M (..., j, a), A − A⁰ (..., a, k).
    """
    with np.errstate(invalid="ignore"):  # of a singular triplet, which fails
        terms = [inverse[..., :, a, None] * wrong[..., a, None, :] for a in range(wrong.shape[-2])]
        return sum(terms[1:], terms[0])


def equicorrelation(sigma: float, rho: float, samples: int) -> tuple[float, float]:
    """(a, b) such that a z_s + b Σ z has the standard deviation σ and the correlation ρ between samples, z independent.

    The symmetric root of the covariance: its eigenvalues are σ² (1 − ρ) and, along (1, 1, 1), σ² (1 + (n − 1) ρ).
    """
    if samples == 1:
        return sigma, 0.0
    apart = np.sqrt(1 - rho)
    return sigma * apart, sigma * (np.sqrt(1 + (samples - 1) * rho) - apart) / samples


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
    darkness = np.ndim(actual.dark) + np.ndim(believed.dark) > 0 or actual.dark != believed.dark
    found = [*order, *fields, noise, actual.quantisation, actual.saturation, darkness]
    return np.array([*found, actual.polarised and not any(found)], dtype=np.int64)


@kernel
def signal(x, d, k, b0, b1, b2, expected, wrong):
    """S⁰ = K (t B₀ + u B₁ + v B₂) and D = S − S⁰ [count] (pixel): (t, u, v) = A t_m T_a (1, η cos 2α, η sin 2α) as believed
    (3), and how much it differs in the triplet that measures (3)."""
    t, u, v, dt, du, dv = expected[0], expected[1], expected[2], wrong[0], wrong[1], wrong[2]
    for i in range(x.size):
        x[i] = k[i] * fma(v, b2[i], fma(u, b1[i], t * b0[i]))
        d[i] = k[i] * fma(dv, b2[i], fma(du, b1[i], dt * b0[i]))


@kernel
def inter_pixel(d, x, own, common, a, b):
    """S (1 + h), h = a z_s + b Σ z [count] (pixel): the error of S⁰ + D grows by (S⁰ + D) h."""
    for i in range(d.size):
        d[i] = fma(x[i] + d[i], fma(b, common[i], a * like(a, own[i])), d[i])


@kernel
def undo_inter_pixel(d, x, own, common, a, b):
    """S / (1 + h), with the h of `inter_pixel` [count] (pixel): (S⁰ + D) / (1 + h) − S⁰ = (D − S⁰ h) / (1 + h)."""
    for i in range(d.size):
        h = fma(b, common[i], a * like(a, own[i]))
        d[i] = fma(-x[i], h, d[i]) / (like(h, 1.0) + h)


@kernel
def bend(d, x, c1, c2, order):
    """f(S) = S + S (c₁ + c₂ S^(order−1)) [count] (pixel)."""
    if order == 2:
        for i in range(d.size):
            s = x[i] + d[i]
            d[i] = fma(s, fma(c2, s, c1), d[i])
    else:
        for i in range(d.size):
            s = x[i] + d[i]
            d[i] = fma(s, fma(c2, s * s, c1), d[i])


@kernel
def unbend(d, x, c1, c2, order):
    """f⁻¹(y) = y − S (c₁ + c₂ S^(order−1)) [count] (pixel), NaN above the maximum of f, with S = f⁻¹(y) to rounding:
    2y / (e + √(e² + 4 c₂ y)), e = 1 + c₁, for order 2, Newton for order 3.

    For c₂ > 0 Newton starts from the smaller of y / e and √(y / 2√(e c₂)), both above the root (e S + c₂ S³ ≥ 2√(e c₂)
    S²), and falls onto it. For c₂ < 0, v being y over the maximum of f, from the least curve that has the slope 2/3 of
    f⁻¹ at v = 0 and its square root at v = 1.
    """
    one = like(c1, 1.0)
    e = one + c1
    if order == 2:
        four = like(c1, 4.0) * c2
        for i in range(d.size):
            y = x[i] + d[i]
            s = (y + y) / (e + np.sqrt(fma(four, y, e * e)))
            d[i] = fma(-s, fma(c2, s, c1), d[i])
        return
    three = like(c1, 3.0) * c2
    over_top, over_square = like(c1, 1.5) * np.sqrt(abs(three) / e) / e, like(c1, 0.5) / np.sqrt(e * abs(c2))
    for i in range(d.size):
        y = x[i] + d[i]
        s = y / e
        if c2 < like(c2, 0.0):
            v = y * over_top
            root = np.sqrt(one - v) * np.sqrt(one - v / like(v, 3.0))
            s = s * (like(v, 4.0) - v) / (like(v, 2.0) * (one + root))
        else:
            bound = np.sqrt(y * over_square)
            s = bound if bound < s else s
        for _ in range(NEWTON_STEPS):
            s2 = s * s
            s = s - (s * fma(c2, s2, e) - y) / fma(three, s2, e)
        d[i] = fma(-s, fma(c2, s * s, c1), d[i])


@kernel
def offset(d, dark):
    """DN − C⁰ = f(S) + C − C⁰, C and C⁰ the offset that there is and the believed one [count] (pixel)."""
    for i in range(d.size):
        d[i] = d[i] + dark


@kernel
def noise_snr(d, mean, z, inverse_snr):
    """DN + σ z, σ = S̄ / snr, S̄ the mean nominal signal of the samples [count] (pixel)."""
    for i in range(d.size):
        d[i] = fma(inverse_snr * mean[i], like(inverse_snr, z[i]), d[i])


@kernel
def noise_read_shot(d, x, z, read2, shot):
    """DN + σ z, σ² = σ_read² + s (DN − C): the linear camera model of EMVA 1288 [count] (pixel)."""
    for i in range(d.size):
        s = x[i] + d[i]
        s = s if s > like(s, 0.0) else like(s, 0.0)
        d[i] = fma(np.sqrt(fma(shot, s, read2)), like(s, z[i]), d[i])


@kernel
def quantise(d, x, dark):
    """The nearest integer count, ties to even (pixel); DN = S⁰ + D + C⁰."""
    for i in range(d.size):
        count = x[i] + d[i] + dark
        d[i] = d[i] + (np.rint(count) - count)


@kernel
def saturate(d, x, hit, dark, top):
    """min(DN, 2^bits − 1) [count]; hit becomes 1 where a sample is cut (pixel)."""
    for i in range(d.size):
        most = top - dark - x[i]
        hit[i] = like(top, 1.0) if d[i] > most else hit[i]
        d[i] = most if d[i] > most else d[i]


@formula
def stokes_of(gaps, i, j, m, d0, d1, d2):
    """Gaps of I, Q, U by I_ref in pixel i, J M d, d of its three samples."""
    b0 = fma(m[0], d0, fma(m[1], d1, m[2] * d2))
    b1 = fma(m[3], d0, fma(m[4], d1, m[5] * d2))
    b2 = fma(m[6], d0, fma(m[7], d1, m[8] * d2))
    gaps[0, i] = fma(j[0, i], b0, fma(j[1, i], b1, j[2, i] * b2))
    gaps[1, i] = fma(j[1, i], b0, fma(j[3, i], b1, j[4, i] * b2))
    gaps[2, i] = fma(j[2, i], b0, fma(j[4, i], b1, j[5, i] * b2))


@kernel
def stokes(gaps, j, m, d, inverse_k):
    """J M (D / K) (3, pixel): M (3×3, flat) = analyser⁻¹ / (A t_m T), J = O⁻¹ / I_ref, d (3, pixel) the error D of S."""
    for i in range(gaps.shape[1]):
        stokes_of(gaps, i, j, m, d[0, i] * inverse_k[0, i], d[1, i] * inverse_k[1, i], d[2, i] * inverse_k[2, i])


@kernel
def stokes_linear(gaps, j, m, b):
    """J M (A − A⁰) B (3, pixel): what `stokes` gives where nothing but the triplet is wrong, m (3×3, flat) = M (A − A⁰)."""
    for i in range(gaps.shape[1]):
        stokes_of(gaps, i, j, m, b[0, i], b[1, i], b[2, i])


@kernel
def total(out, a, b, c):
    """a + b + c, in the precision of what they are put in (pixel)."""
    for i in range(out.size):
        out[i] = like(out[i], a[i]) + like(out[i], b[i]) + like(out[i], c[i])


@chain
def measure(d, x, hit, a, pixels, fields, common, p, switch):
    """Counts of sample a of a row of pixels, as their error D on the expected X⁰: the chain of the module's docstring, then
    noise, quantisation, saturation."""
    wrong = p[WRONG + 3 * a : WRONG + 3 * a + 3]
    signal(x, d, pixels[K + a], pixels[B], pixels[B + 1], pixels[B + 2], p[EXPECTED + 3 * a : EXPECTED + 3 * a + 3], wrong)
    if switch[FIELD_ACTUAL]:
        inter_pixel(d, x, fields[a], common, p[HF_ACTUAL], p[HF_ACTUAL + 1])
    if switch[ORDER_ACTUAL]:
        bend(d, x, p[CURVE], p[CURVE + 1], switch[ORDER_ACTUAL])
    if switch[NOISE_MODEL] == SNR:
        noise_snr(d, pixels[S_MEAN], fields[3 + a], p[NOISE])
    if switch[NOISE_MODEL] == READ_SHOT:
        noise_read_shot(d, x, fields[3 + a], p[NOISE + 1], p[NOISE + 2])
    if switch[DARKNESS]:
        offset(d, p[DARK_WRONG])
    if switch[QUANTISE]:
        quantise(d, x, p[DARK])
    if switch[SATURATE]:
        saturate(d, x, hit, p[DARK], p[TOP])


@chain
def retrieve(d, x, a, pixels, fields, common, p, switch):
    """From the error of the counts of sample a to that of f⁻¹(DN − C), by the believed g where it errs: a row of pixels."""
    if switch[ORDER_BELIEVED]:
        unbend(d, x, p[LINEARISE], p[LINEARISE + 1], switch[ORDER_BELIEVED])
    if switch[FIELD_BELIEVED]:
        undo_inter_pixel(d, x, fields[a], common, p[HF_BELIEVED], p[HF_BELIEVED + 1])


@chain
def draw_fields(fields, common, work, detector, sample, realisation, keys, switch):
    """Random fields of a row, (6, pixel): of the inter-pixel coefficients, of which `common` is the sum, and of the noise."""
    if switch[FIELD_ACTUAL] or switch[FIELD_BELIEVED]:
        field_row(fields[:3], work, detector, realisation, keys[0])
        total(common, fields[0], fields[1], fields[2])
    if switch[NOISE_MODEL]:
        field_row(fields[3:], work, sample, realisation, keys[1])


@chain
def simulate(gaps, d, x, hit, fields, common, work, pixels, detector, sample, realisation, keys, p, switch):
    """Gaps of a row of pixels in one realisation: retrieve(measure(S; actual); believed) − S.

    gaps (quantity, pixel) is filled; d (sample, pixel), x, hit and common (pixel), fields (6, pixel) float32 and work (4, pixel)
    uint32 are scratch; detector and sample (pixel) uint32 are the addresses; keys (2, 4) those of the HF and noise fields.
    """
    if switch[SATURATE]:
        hit[:] = 0.0
    back = pixels[J : J + 6]
    if switch[LINEAR]:
        stokes_linear(gaps, back, p[MISMATCH : MISMATCH + 9], pixels[B : B + 3])
    else:
        draw_fields(fields, common, work, detector, sample, realisation, keys, switch)
        for a in range(d.shape[0]):
            measure(d[a], x, hit, a, pixels, fields, common, p, switch)
            retrieve(d[a], x, a, pixels, fields, common, p, switch)
        if d.shape[0] == 3:
            stokes(gaps, back, p[INVERSE : INVERSE + 9], d, pixels[INVERSE_K : INVERSE_K + 3])
    if d.shape[0] == 3:
        gap_row(gaps, pixels[Q0], pixels[U0], pixels[P0])
    else:
        intensity_gap_row(gaps[0], d[0], pixels[INVERSE_K], pixels[J], p[INVERSE])
