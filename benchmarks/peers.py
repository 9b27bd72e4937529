"""The same job in the nearest peer, punpy (CoMet toolkit, National Physical Laboratory; LGPL-3.0): a Monte Carlo through a
measurement function, which its user writes.

The function is what a good NumPy programmer gives to punpy: one equation a line on whole images in float64, on pixels sorted
once so that a stratum is a slice, closed over the scene (an input without uncertainty would be copied for each realisation);
and it returns statistics, not images, the idiom most favourable to punpy. What does not change between realisations, such
as the decoder of the nominal instrument, is made once. Triplets of numbers (orientation, extinction, transmission) are
inputs of three values, the coefficient of the non-linearity one of two, fields (equalisation, noise) images of three planes,
all with correlation "rand". The errors are in the instrument.

* as documented: one call of `propagate_random`, which holds the samples of all realisations at once: 6.3 GiB for a campaign
  of N = 1000, in a process of its own. Where there is less memory N = 300 is timed, which is kinder to punpy.
* hand-batched: its staged interface, twenty realisations at a time, so that the samples are small.

The job is that of radsens: six sources, and of five gaps in each stratum and in the whole image the mean, the standard
deviation, the extremes and five quantiles, which are exact here and from histograms there.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks import cases
from benchmarks.timing import processor_time
from radsens.gaps.statistics import FIRST_QUANTILE, MAX, MEAN, MIN, QUANTILES, STD
from radsens.gaps.strata import Partition
from radsens.models import polarimeter
from radsens.models.irm import IRM
from radsens.schema import Scene

ABSENT = "punpy is not installed: pip install .[bench]"
BATCH = 20  # realisations of a hand-made batch
CALLED = 1000 if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > 12 << 30 else 300  # of the one call
STATISTICS = [MEAN, STD, MIN, MAX, *range(FIRST_QUANTILE, FIRST_QUANTILE + len(QUANTILES))]  # the same in a row of radsens
STANDARD_ERRORS = 6.0  # by which two codes may differ: 405 numbers are compared, and tails are not normal


def installed() -> bool:
    """Whether there is a punpy to compare with."""
    return find_spec("punpy") is not None


@dataclass(frozen=True)
class Measurement:
    """A measurement function and its inputs.

    Attributes
    ----------
    function : of one realisation's inputs, in their order; returns statistics
    inputs, uncertainties : arrays
    """

    function: Callable[..., np.ndarray]
    inputs: list[np.ndarray]
    uncertainties: list[np.ndarray]


@dataclass(frozen=True)
class Image:
    """What the measurement function is closed over; pixels are sorted by stratum.

    Attributes
    ----------
    strata : slices of the pixels, the whole image first
    basis : (3, pixel) B = O S
    gain : (3, pixel) K_a = P g_a
    decoder : (3, 3, pixel) J M⁻¹ / K, from the counts of the nominal instrument to I, Q, U by I_ref
    reference : (3, pixel) q, u and DoLP
    mean_signal : (pixel,) mean nominal signal of the triplet [count]
    angle : (pixel,) bool, whether the pixel has an AoLP gap
    """

    strata: list[slice]
    basis: np.ndarray
    gain: np.ndarray
    decoder: np.ndarray
    reference: np.ndarray
    mean_signal: np.ndarray
    angle: np.ndarray


def image(scene: Scene, part: Partition) -> Image:
    """The pixels of a scene, and the nominal retrieval in each."""
    order = np.argsort(part.cell, kind="stable")
    of = {name: np.ascontiguousarray(values[..., order]) for name, values in cases.of_pixels(scene).items()}
    starts = np.searchsorted(part.cell[order], np.arange(len(part.members) + 1))
    back = of["back"][[[0, 1, 2], [1, 3, 4], [2, 4, 5]]]
    demodulation = np.linalg.inv(cases.triplets(polarimeter.nominal(cases.INSTRUMENT, scene.band))[0])
    return Image(
        strata=[slice(0, order.size), *(slice(a, b) for a, b in pairwise(starts.tolist()))],
        decoder=np.einsum("ijp,ja->iap", back, demodulation) * of["inverse_gain"],
        angle=part.aolp[order],
        **{name: of[name] for name in ("basis", "gain", "reference", "mean_signal")},
    )


def moments(gaps: np.ndarray) -> np.ndarray:
    """What `total` needs of gaps (gap, pixel): (gap, 2)."""
    return np.stack([gaps.mean(axis=1), gaps.std(axis=1)], axis=1)


def statistics(gaps: np.ndarray) -> np.ndarray:
    """The nine statistics of gaps (gap, pixel): (gap, 9)."""
    found = np.stack([gaps.mean(axis=1), gaps.std(axis=1), gaps.min(axis=1), gaps.max(axis=1)], axis=1)
    return np.concatenate([found, quantiles(gaps)], axis=1)


def quantiles(gaps: np.ndarray) -> np.ndarray:
    """Five quantiles of gaps (gap, pixel), exactly: (gap, 5). As `np.quantile`, but for what that spends on its generality."""
    place = np.array(QUANTILES) * (gaps.shape[1] - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, gaps.shape[1] - 1)
    ranked = np.partition(gaps, np.union1d(below, above), axis=1)
    return ranked[:, below] + (place - below) * (ranked[:, above] - ranked[:, below])


def quantities(irm: IRM, pixels: Image, sources: dict[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each input with its standard uncertainty, by source, after the definitions of `radsens.sources`."""
    ones = np.ones(3)
    found = {
        "polariser_orientation": lambda k: (np.degrees(irm.orientation), k["sigma"] * ones),
        "polariser_extinction": lambda k: (np.log(irm.extinction), k["sigma"] * ones),
        "relative_transmission": lambda k: (irm.relative_transmission, k["sigma"] * irm.relative_transmission),
        "hf_equalisation": lambda k: (pixels.gain, k["sigma"] * pixels.gain),
        "radiometric_noise": lambda k: (0 * pixels.gain, np.tile(pixels.mean_signal / k["snr"], (3, 1))),
        "non_linearity": lambda k: (np.zeros(2), np.array([k["sigma"], 0.0])),  # of one value punpy makes a number
    }
    return {name: found[name](knobs) for name, knobs in sources.items()}


def triplet(irm: IRM, orientation: np.ndarray, log_extinction: np.ndarray, transmission: np.ndarray) -> np.ndarray:
    """Rows A T_a [1, η cos 2α, η sin 2α] of a triplet, (3, 3); orientation (3) [deg]."""
    extinction, angle = np.exp(log_extinction), 2 * np.radians(orientation)
    eta = (1 - extinction) / (1 + extinction)
    rows = np.stack([np.ones(3), eta * np.cos(angle), eta * np.sin(angle)], axis=-1)
    return irm.absolute_gain * transmission[:, None] * rows


def measurement(sources: dict[str, Any], scene: Scene, part: Partition, taken: Callable[[np.ndarray], np.ndarray]) -> Measurement:
    """The measurement function of some sources in one band: (quantity × stratum × statistic) of a realisation.

    The strata are those of a partition whose cells are its strata, the whole image before them.
    """
    irm, pixels = polarimeter.nominal(cases.INSTRUMENT, scene.band), image(scene, part)
    given = quantities(irm, pixels, sources)
    nominal = {"polariser_orientation": np.degrees(irm.orientation), "polariser_extinction": np.log(irm.extinction)}
    nominal |= {"relative_transmission": irm.relative_transmission, "hf_equalisation": pixels.gain}

    def function(*drawn: np.ndarray) -> np.ndarray:
        value = {**nominal, **dict(zip(given, drawn, strict=True))}
        rows = triplet(irm, *(value[n] for n in ("polariser_orientation", "polariser_extinction", "relative_transmission")))
        signal = value["hf_equalisation"] * (rows @ pixels.basis)
        if "non_linearity" in value:  # S (1 + b S / S_fs), the quadratic response calibrated at zero
            signal = signal * (1 + value["non_linearity"][0] / irm.full_scale * signal)
        if "radiometric_noise" in value:
            signal = signal + value["radiometric_noise"]
        return compared(np.einsum("iap,ap->ip", pixels.decoder, signal), pixels, taken).ravel()

    return Measurement(function, [x for x, _ in given.values()], [u for _, u in given.values()])


def compared(stokes: np.ndarray, pixels: Image, taken: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Statistics of the gaps of I, Q, U by I_ref (3, pixel): (quantity, stratum, statistic)."""
    (i, q, u), (q_ref, u_ref, dolp_ref) = stokes, pixels.reference
    gaps = np.stack([i - 1, q - q_ref, u - u_ref, np.sqrt(q**2 + u**2) / i - dolp_ref])
    angle = np.degrees(np.arctan2(u * q_ref - q * u_ref, q * q_ref + u * u_ref)) / 2
    return np.stack(
        [np.concatenate([taken(gaps[:, s]), taken(angle[None, s][:, pixels.angle[s]])]) for s in pixels.strata], axis=1
    )


def batched(job: Measurement, batches: int, size: int = BATCH) -> np.ndarray:
    """Statistics (realisation, …) of so many batches, by punpy's staged interface."""
    from punpy import MCPropagation

    propagation, found = MCPropagation(size), []
    for _ in range(batches):
        sample = propagation.generate_MC_sample(job.inputs, job.uncertainties, ["rand"] * len(job.inputs))
        found.append(propagation.run_samples(job.function, sample))
    return propagation.combine_samples(found)


def documented(job: Measurement, realisations: int) -> np.ndarray:
    """Statistics (realisation, …) by one call, as the documentation shows it."""
    from punpy import MCPropagation

    propagation = MCPropagation(realisations)
    kinds: list[Any] = ["rand"] * len(job.inputs)
    _, found, _ = propagation.propagate_random(job.function, job.inputs, job.uncertainties, kinds, return_samples=True)
    return found


def called() -> float:
    """Processor time of the one call for a realisation of a pixel of all sources [s], here and now."""
    (scene,) = cases.scenes()
    job = measurement(cases.ALL, scene, cases.classes(scene), statistics)
    return processor_time(partial(documented, job, CALLED)) / CALLED / scene.theta.size


def called_afresh() -> float:
    """`called` in a process of its own, whose memory is fresh, as that of a user's script is."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(called).result()


def as_theirs(rows: np.ndarray) -> np.ndarray:
    """Rows of radsens (realisation, stratum, quantity, statistic) as the function returns its own: (realisation, …)."""
    return rows[..., STATISTICS].swapaxes(1, 2).reshape(len(rows), -1)


def disagreement(ours: np.ndarray, theirs: np.ndarray) -> str:
    """What differs between the statistics (realisation, …) of two codes with draws of their own, or nothing.

    Their means over the realisations are compared, in standard errors.
    """
    error = np.sqrt(ours.var(axis=0, ddof=1) / len(ours) + theirs.var(axis=0, ddof=1) / len(theirs))
    differs = ~(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= STANDARD_ERRORS * error)
    return f"{np.count_nonzero(differs)} of {differs.size} statistics differ by more than their sampling" if differs.any() else ""
