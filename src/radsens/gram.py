"""The Gram tier: moments of the gaps from a few means over the pixels, without a pass over the pixels in each realisation.

With B = O S, J = O⁻¹ / I (rows of the pixel table), A and M the matrices that measure and retrieve, A⁰ = M⁻¹ that which is
believed, E = M (A − A⁰) = M A − 1 (`polarimeter.mismatch`), a chain without noise, fields and non-linearity retrieves J M A B, so
that the gap of a pixel is bilinear:

    d_q = Σ_jk V_qj B_k E_jk,    V_I = J₀,   V_Q = J₁,   V_U = J₂                                         (1, exact)
    V_dolp = (q V_Q + u V_U) / P − P V_I,    V_aolp = (180/π) (q V_U − u V_Q) / 2P²                  (2, first order)

(2) is the differential of P = √(q² + u²) / i and of χ = ½ atan2(u, q) at the reference, where i = 1. With ⟨ ⟩ the mean over
the pixels of a stratum,

    ⟨d_q⟩ = Σ ⟨V_qj B_k⟩ E_jk,    ⟨d_q²⟩ = Σ ⟨V_qj V_qj′ B_k B_k′⟩ E_jk E_j′k′                                      (3)

the latter with 6 × 6 different means, each product being symmetric in (j, j′) and in (k, k′) alone. What is random in a pixel
enters by its conditional expectation, given the draws of the realisation; it has no mean, and adds to ⟨d_q²⟩

    equalisation, δX = diag(h) A B:    σ² [(1 − ρ) Σ_a form(M_·a A_a·) + ρ form(M A)],   form(E) as in (3)            (4)
    noise, δX_a = σ_a z_a / K_a:       Σ_a Σ_jj′ ⟨V_qj V_qj′ σ_a² / K_a²⟩ M_ja M_j′a                                  (5)

σ_a = S̄ / snr, or σ_a² = σ_read² + s S_a at the nominal signal. (4) is first order in h where h is believed, as the retrieval
divides by 1 + h. Non-linearity is first order in b, at the nominal signal S_a, A₀ and M₀ being nominal:

    δd_q = b G_q,    G_q = Σ_j V_qj Σ_a M₀_ja (A₀ B)_a [(S_a / S_fs)^(n−1) − x₀^(n−1)]                                (6)

b enters with the sign + where the instrument has it, − where the processing believes it. Only sums in a fixed order are
taken, without BLAS: bits do not change with the processor. The derivation of (1) and (3) is in docs/method.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from radsens.gaps.quantities import AOLP, QUANTITIES
from radsens.gaps.strata import BLOCK, Partition
from radsens.kernel import fma, kernel
from radsens.models import polarimeter
from radsens.models.irm import IRM
from radsens.models.pixels import INVERSE_K, P0, Q0, S_MEAN, U0, B, J, K
from radsens.models.polarimeter import EXPECTED, HF_ACTUAL, HF_BELIEVED, INVERSE, MISMATCH, WRONG
from radsens.realise import Stage, pixels_of, quantities_of
from radsens.tiles import count, of_cells, ranked

KINDS = ("", "exact", "expected", "first order")  # how the moments of a quantity are known; the first: not at all
SILENT, EXACT, AVERAGE, FIRST_ORDER = range(len(KINDS))
DOLP = QUANTITIES.index("dolp")
TRIANGLE = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # pairs j ≤ j′, and the entries of a symmetric matrix
LANES = 32  # partial sums of a product of two rows
PIXELS = 4096  # that are taken together; a multiple of LANES
REALISATIONS = 512  # that are taken together: what is taken of them stays in the cache

Rows = Callable[[np.ndarray], np.ndarray]  # (chosen,) pixels → (TABLE_ROWS, chosen)


@dataclass(frozen=True)
class Gram:
    """Means over the pixels of each stratum and quantity; a column stands for both.

    Attributes
    ----------
    linear : (10, stratum × quantity) ⟨V_qj B_k⟩ for all (j, k), ⟨G_q⟩
    products : (36 [+ 10] [+ 18], stratum × quantity) ⟨V_qj V_qj′ B_k B_k′⟩ for the pairs (j ≤ j′), (k ≤ k′); if some model is
        not linear ⟨V_qj B_k G_q⟩ and ⟨G_q²⟩; if there is noise ⟨V_qj V_qj′ σ_a² / K_a²⟩ for all (j ≤ j′), a
    shape : strata and quantities
    bends, noisy : whether the parts in brackets are there
    """

    linear: np.ndarray
    products: np.ndarray
    shape: tuple[int, int]
    bends: bool
    noisy: bool


@dataclass(frozen=True)
class Moments:
    """Mean and root mean square of the gaps in the image, (realisation, stratum, quantity); NaN where nothing is told."""

    mean: np.ndarray
    rms: np.ndarray


def std(mean: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """√(rms² − mean²), 0 where rounding makes it less; what rounding leaves of equal ones is about 1e-8 of them."""
    return np.sqrt(np.maximum(rms * rms - mean * mean, 0.0))


@dataclass(frozen=True)
class Features:
    """What multiplies the means of a `Gram` in each realisation: linear (10, realisation), products (as there, realisation)."""

    linear: np.ndarray
    products: np.ndarray


@kernel
def accumulate(lanes, x, y):
    """lanes (LANES) += x y, (LANES × k) each, lane by lane."""
    for start in range(0, x.size, LANES):
        x_part, y_part = x[start : start + LANES], y[start : start + LANES]
        for j in range(lanes.size):  # a loop of a constant length is unrolled, and then not vectorised
            lanes[j] = fma(x_part[j], y_part[j], lanes[j])


@kernel
def row_products(out, left, right, cells, lanes):
    """out (cell, l, m) += Σ left (l, pixel) right (m, pixel) over the pixels of each cell, lane by lane, these folded in halves.

    cells (pixel / LANES) is the cell of LANES pixels each; those of one cell come one after the other.
    """
    for a in range(left.shape[0]):
        for b in range(right.shape[0]):
            first = 0
            for g in range(1, cells.size + 1):
                if g == cells.size or cells[g] != cells[first]:
                    lanes[:] = 0.0
                    accumulate(lanes, left[a, first * LANES : g * LANES], right[b, first * LANES : g * LANES])
                    width = LANES
                    while width > 1:
                        width //= 2
                        for j in range(width):
                            lanes[j] += lanes[j + width]
                    out[cells[first], a, b] += lanes[0]
                    first = g


@kernel
def contract(out, means, features):
    """out (column, realisation) = Σ_m means (m, column) features (m, realisation), in the order of m."""
    for c in range(out.shape[0]):
        row = out[c]
        row[:] = 0.0
        for m in range(means.shape[0]):
            mean, feature = means[m, c], features[m]
            for r in range(row.size):
                row[r] = fma(mean, feature[r], row[r])


@kernel
def add_form(out, e, weight):
    """out (36, realisation) += weight (realisation) × coefficients of ⟨V_j V_j′ B_k B_k′⟩ in ⟨(V · E B)²⟩, e (3, 3, realisation).

    The coefficient of a pair of pairs is the sum of E_jk E_j′k′ over the orders of both.
    """
    for m in range(out.shape[0]):
        j, i, k, h = TRIANGLE[m // 6][0], TRIANGLE[m // 6][1], TRIANGLE[m % 6][0], TRIANGLE[m % 6][1]
        orders = (0.5 if j == i else 1.0) * (1.0 if k == h else 2.0)
        jk, ih, jh, ik, row = e[j, k], e[i, h], e[j, h], e[i, k], out[m]
        for r in range(row.size):
            row[r] = fma(orders * weight[r], fma(jk[r], ih[r], jh[r] * ik[r]), row[r])


def kind(actual: IRM, believed: IRM, quantity: str) -> int:
    """How the tier knows the moments of a quantity, an index into KINDS.

    `expected` is the expectation of the random fields given the draws. Counts that are rounded or cut, which are left out,
    make a first order of anything; of a wrong dark signal nothing is told.
    """
    if np.any(np.asarray(actual.dark) != believed.dark):
        return SILENT
    switch = polarimeter.switches(actual, believed)
    bent, believed_field = switch[:2].any(), believed.high_frequency_error > 0
    if quantity in QUANTITIES[DOLP:] or bent or believed_field or actual.quantisation or actual.saturation:
        return FIRST_ORDER
    return AVERAGE if actual.high_frequency_error > 0 or switch[polarimeter.NOISE_MODEL] else EXACT


def matrices(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A and M of each realisation, (realisation, 3, 3), from `polarimeter.parameters`."""
    measuring = p[:, EXPECTED : EXPECTED + 9] + p[:, WRONG : WRONG + 9]
    return measuring.reshape(-1, 3, 3), p[:, INVERSE : INVERSE + 9].reshape(-1, 3, 3)


def directions(t: np.ndarray, polarised: bool, angle: np.ndarray) -> np.ndarray:
    """V_qj of equations (1) and (2), (quantity, 3, pixel), from rows of the pixel table; `angle` says where there is an AoLP.

    NaN for the DoLP of an unpolarised pixel, which has no differential there.
    """
    if not polarised:
        return np.stack([t[J], np.zeros_like(t[J]), np.zeros_like(t[J])])[None]
    rows = np.empty((len(QUANTITIES), 3, t.shape[1]))
    for entry, (i, j) in enumerate(TRIANGLE):
        rows[i, j] = rows[j, i] = t[J + entry]
    q, u, p = t[Q0], t[U0], t[P0]
    inverse = np.divide(1.0, p, out=np.full(p.shape, np.nan), where=p > 0)
    rows[DOLP] = (q * rows[1] + u * rows[2]) * inverse - p * rows[0]
    rows[AOLP] = np.where(angle, (90 / np.pi) * inverse * inverse * (q * rows[2] - u * rows[1]), 0.0)
    return rows


def bending(t: np.ndarray, v: np.ndarray, a: np.ndarray, m: np.ndarray, bent: IRM) -> np.ndarray:
    """G_q of equation (6), (quantity, pixel): what a deviation b = 1 does to each gap, to first order.

    t are rows of the pixel table, v those of `directions`; a and m (3, 3) the nominal matrices; `bent` is not linear.
    """
    x = [row[0] * t[B] + row[1] * t[B + 1] + row[2] * t[B + 2] for row in a]
    filling = [t[K + s] * x[s] / bent.full_scale for s in range(3)]
    square, pin = bent.non_linearity_order == 3, bent.calibrated_at
    deviation = [f * f - pin * pin if square else f - pin for f in filling]
    y = [d * one for d, one in zip(deviation, x, strict=True)]
    moved = [row[0] * y[0] + row[1] * y[1] + row[2] * y[2] for row in m]
    return np.asarray(v[:, 0] * moved[0] + v[:, 1] * moved[1] + v[:, 2] * moved[2])


def variances(t: np.ndarray, a: np.ndarray, actual: IRM) -> np.ndarray:
    """σ_a² / K_a² of equation (5), (3, pixel), at the nominal signal; a (3, 3) is the nominal matrix."""
    found = np.zeros((3, t.shape[1]))
    for s, row in enumerate(a):
        if np.isfinite(actual.snr):
            variance = (t[S_MEAN] / actual.snr) ** 2
        else:
            variance = actual.read_noise**2 + actual.shot * t[K + s] * (row[0] * t[B] + row[1] * t[B + 1] + row[2] * t[B + 2])
        found[s] = variance * t[INVERSE_K + s] * t[INVERSE_K + s]
    return found


def prepare(rows_of: Rows, partition: Partition, nominal: IRM, actual: IRM, believed: IRM) -> Gram:
    """Means over the pixels of each stratum, once for all realisations.

    Parameters
    ----------
    rows_of : gives the rows of the pixel table of chosen pixels, (TABLE_ROWS, chosen) of `polarimeter.pixel_table`
    partition : of the pixels
    nominal, actual, believed : models of the band
    """
    quantities = len(QUANTITIES) if nominal.polarised else 1
    switch = polarimeter.switches(actual, believed)
    bent = actual if switch[polarimeter.ORDER_ACTUAL] else believed if switch[polarimeter.ORDER_BELIEVED] else None
    noisy, cells = bool(switch[polarimeter.NOISE_MODEL]), count(partition)
    number, rows_of_v = len(partition.members), 3 * quantities
    linear, square = np.zeros((number, rows_of_v, 3)), np.zeros((number, 2 * rows_of_v, 6))
    bend, cross, noise = (np.zeros((number, *size)) for size in ((2 * quantities, 1), (rows_of_v, 3), (2 * rows_of_v, 3)))
    lanes, ((a,), (m,)) = np.zeros(LANES), matrices(polarimeter.parameters(nominal, nominal, 1)[0])
    for chosen, cell, true in _blocks(partition):
        t = rows_of(chosen)
        v = directions(t, nominal.polarised, partition.aolp[chosen]) * true
        rows, b = v.reshape(-1, v.shape[-1]), np.ascontiguousarray(t[B : B + 3])
        pairs = _pairs(v).reshape(-1, v.shape[-1])
        row_products(linear, rows, b, cell, lanes)
        row_products(square, pairs, _pairs(b), cell, lanes)
        if bent is not None:
            g = bending(t, v, a, m, bent)
            row_products(cross, (v * g[:, None]).reshape(rows.shape), b, cell, lanes)
            row_products(bend, np.concatenate([g, g * g]), true[None], cell, lanes)
        if noisy:
            row_products(noise, pairs, variances(t, a, actual), cell, lanes)
    g, g2 = np.split(bend, 2, axis=1)
    parts = [square, *([cross, g2] if bent is not None else []), *([noise] if noisy else [])]
    sums = [np.concatenate([one.reshape(number, quantities, -1) for one in part], axis=-1) for part in ([linear, g], parts)]
    means, of_products = (_means(one, partition, cells.n_strata) for one in sums)
    return Gram(means, of_products, (len(partition.names), quantities), bent is not None, noisy)


def _pairs(x: np.ndarray) -> np.ndarray:
    """x_j x_j′ of each pair, (..., 3, pixel) → (..., 6, pixel)."""
    found = np.empty((*x.shape[:-2], 6, x.shape[-1]))
    for pair, (j, i) in enumerate(TRIANGLE):
        np.multiply(x[..., j, :], x[..., i, :], out=found[..., pair, :])
    return found


def _blocks(partition: Partition) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pixels cell by cell, each cell padded with copies to a multiple of LANES, some at a time.

    The pixels, the cell of LANES of them each, and 1.0 in the true ones.
    """
    sizes, order = of_cells(partition)[0], np.empty(partition.cell.size, np.int32)
    padded = -(-sizes // LANES) * LANES
    first, place = np.cumsum(sizes) - sizes, np.cumsum(padded) - padded  # of each cell in `order`, and with the copies
    taken = first
    for start in range(0, order.size, BLOCK):
        slots, taken = ranked(partition.cell[start : start + BLOCK], taken)
        order[slots] = np.arange(start, start + slots.size)
    cells = np.repeat(np.arange(sizes.size), padded // LANES)
    for start in range(0, LANES * cells.size, PIXELS):
        here = cells[start // LANES : (start + PIXELS) // LANES]
        of = np.repeat(here, LANES)
        rank = start + np.arange(of.size) - place[of]
        true = (rank < sizes[of] - 1) | (rank == padded[of] - 1)  # the copies come before the last pixel of a cell
        yield order[first[of] + np.minimum(rank, sizes[of] - 1)], here, true.astype(float)


def _means(sums: np.ndarray, partition: Partition, n: np.ndarray) -> np.ndarray:
    """Means over strata, (product, stratum × quantity), from sums over cells (cell, quantity, product); n (2, stratum) pixels,
    and those with an angle; NaN where there is none."""
    found = np.zeros((len(partition.names), *sums.shape[1:]))
    for cell, members in zip(sums, partition.members, strict=True):
        for s in members[members >= 0]:
            found[s] += cell
    of_all, of_angle = n[:, : len(partition.names), None]
    pixels = np.repeat(of_all, sums.shape[1], axis=1)
    pixels[:, AOLP:] = of_angle
    found /= np.where(pixels > 0, pixels, np.nan)[..., None]
    return np.ascontiguousarray(found.reshape(-1, sums.shape[-1]).T)


def features(gram: Gram, p: np.ndarray, bend: np.ndarray) -> Features:
    """What multiplies the means in each realisation.

    Parameters
    ----------
    gram : says which products there are
    p : (realisation, PARAMETERS) float64 of `polarimeter.parameters`
    bend : (realisation,) b of the instrument minus that which is believed [1]
    """
    a, m = (np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in matrices(p))
    e = np.ascontiguousarray(p[:, MISMATCH : MISMATCH + 9].T).reshape(3, 3, -1)
    products = np.zeros((len(gram.products), len(p)))
    add_form(products[:36], e, np.ones(len(p)))
    apart, together = (p[:, HF_ACTUAL + k] - p[:, HF_BELIEVED + k] for k in range(2))
    own, common = apart * apart, together * (2 * apart + 3 * together)  # σ² (1 − ρ), σ² ρ: `polarimeter.equicorrelation`
    if common.any():
        add_form(products[:36], e + np.eye(3)[..., None], common)
    for s in range(3 if own.any() else 0):
        add_form(products[:36], m[:, s, None] * a[s, None, :], own)
    if gram.bends:
        products[36:45], products[45] = 2 * bend * e.reshape(9, -1), bend * bend
    if gram.noisy:
        products[-18:] = [(1 if j == i else 2) * m[j, s] * m[i, s] for j, i in TRIANGLE for s in range(3)]
    return Features(np.concatenate([e.reshape(9, -1), bend[None]]), products)


def evaluate(gram: Gram, found: Features) -> Moments:
    """Moments of each realisation from what multiplies the means in it: a few µs altogether."""
    number, columns = found.linear.shape[1], gram.linear.shape[1]
    mean, square = np.empty((columns, number)), np.empty((columns, number))
    contract(mean, gram.linear, found.linear)
    contract(square, gram.products, found.products)
    np.sqrt(np.maximum(square, 0.0, out=square), out=square)  # rounding may leave a zero below 0
    return Moments(mean.T.reshape(number, *gram.shape), square.T.reshape(number, *gram.shape))


def moments(gram: Gram, actual: IRM, believed: IRM, number: int) -> Moments:
    """Moments of the first realisations of two models, some at a time; NaN where a draw fails, or nothing is told."""
    p, outcome = polarimeter.parameters(actual, believed, number)
    bend = np.broadcast_to(np.asarray(actual.non_linearity, float) - believed.non_linearity, number)
    found = Moments(*(np.full((number, *gram.shape), np.nan) for _ in range(2)))
    good = np.flatnonzero((outcome == 0) & (kind(actual, believed, QUANTITIES[0]) != SILENT))
    for start in range(0, good.size, REALISATIONS):
        here = good[start : start + REALISATIONS]
        one = evaluate(gram, features(gram, p[here], bend[here]))
        found.mean[here], found.rms[here] = one.mean, one.rms
    return found


def predicted(stage: Stage) -> tuple[Moments, list[int]]:
    """Moments of one band of a task over a span, and of which kind those of each quantity are.

    The check beside the pass over the pixels: the draws are the same, so that realisation r here is realisation r there.
    """
    return told(stage, of_scene(stage))


def of_scene(stage: Stage) -> Gram:
    """Means of a stage. The pixel table is made again, some pixels at a time: kept, it would be the largest thing in memory."""
    return of_rows(stage, lambda chosen: pixels_of(stage.setting.nominal, stage.instrument, stage.scene.part(chosen)))


def of_rows(stage: Stage, rows_of: Rows) -> Gram:
    """Means of a stage, from the rows of a pixel table that are at hand."""
    s = stage.setting
    return prepare(rows_of, stage.partition, s.nominal, s.actual, s.believed)


def told(stage: Stage, gram: Gram) -> tuple[Moments, list[int]]:
    """What `predicted` says, from means that are at hand."""
    s = stage.setting
    kinds = [kind(s.actual, s.believed, quantity) for quantity in quantities_of(s.nominal)]
    return moments(gram, s.actual, s.believed, len(stage.span)), kinds
