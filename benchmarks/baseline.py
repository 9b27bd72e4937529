"""The Monte Carlo in NumPy, tuned: what one writes with care and without a compiler.

Basis images, so that a triplet costs one product with a 3×3 matrix; strata sorted and contiguous, so that they are views;
every array is made once and filled in place, stratum by stratum, so that rows stay in the processor's cache; normals of
numpy's Philox, drawn in place; moments by sums and dot products; histograms by `bincount`, and quantiles of all strata from
them at once. All in float64.
"""

from dataclasses import dataclass

import numpy as np

BINS = 256
MEAN, STD, MIN, MAX = range(4)
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)


@dataclass(frozen=True)
class Job:
    """What the realisations are made from; pixels are sorted by stratum, in each those with an angle first.

    Attributes
    ----------
    strata : (start, stop, stop of the pixels with an angle) of each stratum
    basis : (3, pixel) B = O S
    gain, inverse_gain : (3, pixel) K_a = P g_a and its inverse
    back : (6, pixel) entries of the symmetric J = O⁻¹ / I_ref
    reference : (3, pixel) q, u and DoLP
    mean_signal : (pixel,) mean nominal signal of the triplet [count]
    forward, inverse : (realisation, 3, 3) triplet that measures; inverse of the one that retrieves
    bend, unbend : (realisation, 2) coefficients of the response that measures and of the one undone; None if linear
    equalisation : standard deviation of the error on g; 0 for none
    equalisation_in_instrument : whether that error is in the measurement, not in the retrieval
    noise : 1 / snr; 0 for none
    low, high : (5,) ranges of the histograms
    """

    strata: list[tuple[int, int, int]]
    basis: np.ndarray
    gain: np.ndarray
    inverse_gain: np.ndarray
    back: np.ndarray
    reference: np.ndarray
    mean_signal: np.ndarray
    forward: np.ndarray
    inverse: np.ndarray
    bend: np.ndarray | None
    unbend: np.ndarray | None
    equalisation: float
    equalisation_in_instrument: bool
    noise: float
    low: np.ndarray
    high: np.ndarray


class Baseline:
    """A job with its buffers and its generator."""

    def __init__(self, job: Job, seed: int = 1):
        self.job, self.random = job, np.random.Generator(np.random.Philox(seed))
        width = max(stop - start for start, stop, _ in job.strata)
        self.triplets, self.gaps = np.empty((4, 3 * width)), np.empty(5 * width)
        self.rows, self.index = np.empty((2, width)), np.empty(width, np.intp)

    def realise(self, r: int, histograms: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Moments (stratum, 5, 4), histograms (stratum, 5, BINS) and quantiles (5, stratum, 5) of a realisation, these if the
        histograms are filled; the first stratum is the whole image."""
        strata = self.job.strata
        moments, sums = np.empty((len(strata) + 1, 5, 4)), np.empty((len(strata) + 1, 5, 3))
        counts = np.zeros((len(strata) + 1, 5, BINS), np.int64)
        for s, (start, stop, angle) in enumerate(strata, start=1):
            gaps = self.retrieve(r, self.measure(r, slice(start, stop)), slice(start, stop))
            for v, gap in enumerate((*gaps[:4], gaps[4, : angle - start])):
                sums[s, v] = gap.size, gap.sum(), np.dot(gap, gap)
                moments[s, v, MIN:] = gap.min(), gap.max()
                if histograms:
                    counts[s, v] = self.histogram(gap, v)
        sums[0], counts[0] = sums[1:].sum(axis=0), counts[1:].sum(axis=0)
        moments[0, :, MIN], moments[0, :, MAX] = moments[1:, :, MIN].min(axis=0), moments[1:, :, MAX].max(axis=0)
        moments[..., MEAN] = sums[..., 1] / sums[..., 0]
        moments[..., STD] = np.sqrt(np.maximum(sums[..., 2] / sums[..., 0] - moments[..., MEAN] ** 2, 0))
        return moments, counts, self.quantiles(counts) if histograms else None

    def quantiles(self, counts: np.ndarray) -> np.ndarray:
        """Quantiles (5, stratum, 5) of all histograms at once, values lying evenly in their bins."""
        before = np.cumsum(counts, axis=2)
        width, found = (self.job.high - self.job.low) / BINS, []
        for level in QUANTILES:
            place = level * before[..., -1]
            k = np.minimum((before < place[..., None]).sum(axis=2), BINS - 1)
            here = np.take_along_axis(counts, k[..., None], axis=2)[..., 0]
            upto = np.take_along_axis(before, k[..., None], axis=2)[..., 0]
            found.append(self.job.low + width * (k + 1 - (upto - place) / np.maximum(here, 1)))
        return np.stack(found)

    def measure(self, r: int, here: slice) -> np.ndarray:
        """Counts, less the dark (3, pixel)."""
        job, (x, _, z, h) = self.job, self.views(here)
        np.dot(job.forward[r], job.basis[:, here], out=x)
        x *= job.gain[:, here]
        if job.equalisation:
            self.random.standard_normal(out=h)
            h *= job.equalisation
            h += 1
            if job.equalisation_in_instrument:
                x *= h
        if job.bend is not None:
            np.multiply(x, job.bend[r, 1], out=z)
            z += job.bend[r, 0]
            x *= z
        if job.noise:
            self.random.standard_normal(out=z)
            z *= job.mean_signal[here]
            z *= job.noise
            x += z
        return x

    def retrieve(self, r: int, x: np.ndarray, here: slice) -> np.ndarray:
        """Gaps (5, pixel): I, Q, U by I_ref, DoLP, AoLP [deg]."""
        job, (_, y, z, h) = self.job, self.views(here)
        if job.unbend is not None:
            c1, c2 = job.unbend[r]
            np.multiply(x, 4 * c2, out=z)
            z += c1 * c1
            np.sqrt(z, out=z)
            z += c1
            x += x
            x /= z
        if job.equalisation and not job.equalisation_in_instrument:
            x /= h
        x *= job.inverse_gain[:, here]
        np.dot(job.inverse[r], x, out=y)
        j, a = job.back[:, here], self.rows[0, : x.shape[1]]
        for row, entries in zip(z, ((0, 1, 2), (1, 3, 4), (2, 4, 5)), strict=True):
            np.multiply(j[entries[0]], y[0], out=row)
            for k in (1, 2):
                np.multiply(j[entries[k]], y[k], out=a)
                row += a
        return self.compare(z, here)

    def compare(self, stokes: np.ndarray, here: slice) -> np.ndarray:
        """Gaps (5, pixel) of I, Q, U by I_ref (3, pixel)."""
        (i, q, u), (q0, u0, p0) = stokes, self.job.reference[:, here]
        gaps, (a, b) = self.gaps[: 5 * i.size].reshape(5, i.size), self.rows[:, : i.size]
        np.subtract(i, 1, out=gaps[0])
        np.subtract(q, q0, out=gaps[1])
        np.subtract(u, u0, out=gaps[2])
        np.multiply(q, q, out=a)
        np.multiply(u, u, out=b)
        a += b
        np.sqrt(a, out=a)
        a /= i
        np.subtract(a, p0, out=gaps[3])
        np.multiply(u, q0, out=a)
        np.multiply(q, u0, out=b)
        a -= b
        np.multiply(q, q0, out=b)
        np.multiply(u, u0, out=i)
        b += i
        np.arctan2(a, b, out=gaps[4])
        gaps[4] *= 90 / np.pi
        return gaps

    def histogram(self, gap: np.ndarray, v: int) -> np.ndarray:
        """Counts (BINS,) of a row; what is out of range enters the last bins."""
        t, index = self.rows[0, : gap.size], self.index[: gap.size]
        np.subtract(gap, self.job.low[v], out=t)
        t *= BINS / (self.job.high[v] - self.job.low[v])
        np.clip(t, 0, BINS - 1, out=t)
        np.copyto(index, t, casting="unsafe")
        return np.bincount(index, minlength=BINS)

    def views(self, here: slice) -> np.ndarray:
        """The buffers of triplets, (4, 3, pixel)."""
        n = here.stop - here.start
        return self.triplets[:, : 3 * n].reshape(4, 3, n)
